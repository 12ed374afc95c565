//! The small closed vocabularies of objects and buckets, spelled as on the wire.

/// Declares an enum whose variants have one spelling each.
macro_rules! vocabulary {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The spelling on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }

            /// The value spelled exactly so.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$variant),)* _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

vocabulary! {
    /// Storage class of an object, and of a bucket for objects that name none.
    #[derive(Default)]
    StorageClass {
        /// The default.
        #[default]
        Standard = "Standard",
        /// Infrequent access.
        Ia = "IA",
        /// Must be restored before it is read.
        Archive = "Archive",
        /// Must be restored before it is read; cannot be appended to.
        ColdArchive = "ColdArchive",
        /// Must be restored before it is read; cannot be appended to.
        DeepColdArchive = "DeepColdArchive",
    }
}

impl StorageClass {
    /// Whether an appendable object may be created in this class.
    pub const fn takes_appends(self) -> bool {
        match self {
            Self::Standard | Self::Ia | Self::Archive => true,
            Self::ColdArchive | Self::DeepColdArchive => false,
        }
    }
}

vocabulary! {
    /// Access control list of a bucket.
    #[derive(Default)]
    BucketAcl {
        /// Only the owner and whom policies allow.
        #[default]
        Private = "private",
        /// Everyone may read objects.
        PublicRead = "public-read",
        /// Everyone may read and write objects.
        PublicReadWrite = "public-read-write",
    }
}

vocabulary! {
    /// Access control list of an object.
    #[derive(Default)]
    ObjectAcl {
        /// That of the bucket counts.
        #[default]
        Default = "default",
        /// Only the owner and whom policies allow.
        Private = "private",
        /// Everyone may read.
        PublicRead = "public-read",
        /// Everyone may read and write.
        PublicReadWrite = "public-read-write",
    }
}

vocabulary! {
    /// How an object was made, as `x-oss-object-type` and `<Type>` tell.
    #[derive(Default)]
    ObjectType {
        /// Put, post or copy.
        #[default]
        Normal = "Normal",
        /// Completed multipart upload.
        Multipart = "Multipart",
        /// Append.
        Appendable = "Appendable",
        /// Symbolic link.
        Symlink = "Symlink",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_back_and_only_in_its_exact_spelling() {
        for class in StorageClass::ALL {
            assert_eq!(StorageClass::from_name(class.as_str()), Some(*class));
        }
        for acl in BucketAcl::ALL {
            assert_eq!(BucketAcl::from_name(acl.as_str()), Some(*acl));
        }
        for acl in ObjectAcl::ALL {
            assert_eq!(ObjectAcl::from_name(acl.as_str()), Some(*acl));
        }
        for kind in ObjectType::ALL {
            assert_eq!(ObjectType::from_name(kind.as_str()), Some(*kind));
        }
        for wrong in ["", "standard", "ia", "Private", "default ", "public"] {
            assert_eq!(StorageClass::from_name(wrong), None);
            assert_eq!(ObjectAcl::from_name(wrong), None);
        }
        assert_eq!(BucketAcl::from_name("default"), None);
        assert_eq!(StorageClass::default(), StorageClass::Standard);
    }
}
