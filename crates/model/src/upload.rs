//! Multipart uploads: what may replace the object of a key. This file is the specification of uploads.

use std::collections::BTreeMap;

use ossia_protocol::etag;

use crate::{Body, Bucket, Content, Key, Object, Refusal, Reply, Versioning, key::Making};

/// An upload under way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Upload {
    /// Whether its parts must come one after another.
    pub sequential: bool,
    /// When it was started, in seconds.
    pub begun_s: u64,
    /// Its parts by number.
    pub parts: BTreeMap<u16, Content>,
}

/// What an operation on an upload does. An id that is unknown, over, or of another key is no upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UploadStep {
    /// Starts one.
    Initiate {
        /// Its id. The server's choice: who records a history fills it in from the answer. No id is chosen twice.
        upload: String,
        /// Parts must come one after another.
        sequential: bool,
        /// Only if nothing is there.
        forbid_overwrite: bool,
    },
    /// Stores a part in place of one of the same number. The second half of a part's copy is one, too.
    Part {
        /// The upload.
        upload: String,
        /// 1 to 10,000.
        number: u16,
        /// Its bytes.
        content: Content,
    },
    /// Lists the parts.
    Parts {
        /// The upload.
        upload: String,
    },
    /// The part of a listing of uploads that concerns this one.
    Find {
        /// The upload.
        upload: String,
    },
    /// Makes an object of parts.
    Complete {
        /// The upload.
        upload: String,
        /// Numbers and ETags; all parts if `None`.
        parts: Option<Vec<(u16, String)>>,
        /// Only if nothing is there.
        forbid_overwrite: bool,
        /// The least length of a part that is not the last: a setting of the server.
        part_min: u64,
    },
    /// Gives the upload up.
    Abort {
        /// The upload.
        upload: String,
    },
}

/// A part as it is listed: ETag, CRC-64, length.
pub type ListedPart = (String, u64, u64);

impl Key {
    pub(crate) fn upload_step(
        &mut self,
        step: &UploadStep,
        bucket: &Bucket,
        making: Making<'_>,
    ) -> Result<Reply, Refusal> {
        match step {
            UploadStep::Initiate { upload, sequential, forbid_overwrite } => {
                // What is kept from being replaced is looked at when it is to be replaced.
                if *forbid_overwrite
                    && bucket.versioning == Versioning::Never
                    && !self.versions.is_empty()
                {
                    return Err(Refusal::AlreadyExists);
                }
                let started = Upload {
                    sequential: *sequential,
                    begun_s: bucket.now_s(),
                    parts: BTreeMap::new(),
                };
                self.uploads.entry(upload.clone()).or_insert(started);
                Ok(Reply::Initiated { upload: upload.clone() })
            }
            UploadStep::Part { upload, number, content } => {
                let upload = self.uploads.get_mut(upload).ok_or(Refusal::NoSuchUpload)?;
                upload.check_turn(*number)?;
                upload.parts.insert(*number, content.clone());
                Ok(Reply::PartStored { etag: content.md5(), crc64: content.crc64() })
            }
            UploadStep::Parts { upload } => {
                let upload = self.uploads.get(upload).ok_or(Refusal::NoSuchUpload)?;
                let listed = upload
                    .parts
                    .iter()
                    .map(|(number, part)| (*number, (part.md5(), part.crc64(), part.length())));
                Ok(Reply::Parts(listed.collect()))
            }
            UploadStep::Find { upload } => {
                Ok(Reply::UploadListed(self.uploads.contains_key(upload)))
            }
            // The object is replaced and the upload over at one moment.
            UploadStep::Complete { upload, parts, forbid_overwrite, part_min } => {
                let found = self.uploads.get(upload).ok_or(Refusal::NoSuchUpload)?;
                let object = found.made(parts.as_deref(), *part_min)?;
                let info = object.info().ok_or(Refusal::NoSuchKey)?;
                // What must stay is noticed before the parts are touched, what must not be replaced when they are swapped in.
                self.may_replace(false, bucket)?;
                self.may_replace(*forbid_overwrite, bucket)?;
                self.uploads.remove(upload);
                self.add_retained(object, bucket, making);
                Ok(self.told(Reply::Completed { etag: info.etag, crc64: info.crc64 }, bucket))
            }
            UploadStep::Abort { upload } => {
                self.uploads.remove(upload).ok_or(Refusal::NoSuchUpload)?;
                Ok(Reply::Aborted)
            }
        }
    }
}

impl Upload {
    /// Whether it takes a part of this number now: where they must come in turn, the next one, or the last one again.
    fn check_turn(&self, number: u16) -> Result<(), Refusal> {
        let last = self.parts.keys().next_back().copied().unwrap_or_default();
        match self.sequential && number != last + 1 && (last == 0 || number != last) {
            true => Err(Refusal::NotSequential),
            false => Ok(()),
        }
    }

    /// The object that these parts make, or why they make none: order comes before presence, presence before size.
    pub fn made(&self, chosen: Option<&[(u16, String)]>, min: u64) -> Result<Object, Refusal> {
        let parts: Vec<&Content> = match chosen {
            None => self.parts.values().collect(),
            Some(chosen) if !chosen.is_sorted_by(|(a, _), (b, _)| a < b) => {
                return Err(Refusal::OutOfOrder);
            }
            Some(chosen) => {
                let one = |(number, etag): &(u16, String)| {
                    let part = self.parts.get(number).filter(|part| part.md5() == *etag);
                    part.ok_or(Refusal::InvalidPart)
                };
                chosen.iter().map(one).collect::<Result<_, _>>()?
            }
        };
        // Said of an upload that has none, it makes an empty object.
        let nothing = self.parts.is_empty() && chosen.is_some();
        if parts.is_empty() && !nothing {
            return Err(Refusal::NoParts);
        }
        let but_last = parts.split_last().map_or(&[][..], |(_, but_last)| but_last);
        if but_last.iter().any(|part| part.length() < min) {
            return Err(Refusal::PartTooSmall);
        }
        Ok(joined(&parts))
    }
}

/// The object of these parts.
pub fn joined(parts: &[&Content]) -> Object {
    let content = parts.iter().fold(Content::empty(), |all, part| all.and(part));
    let names: String = parts.iter().map(|part| part.md5()).collect();
    let etag = format!("{}-{}", Content::of(&Body::new(names)).md5(), parts.len());
    Object::Multipart { content, etag }
}

/// Whether an ETag is that of an object made of parts: 32 upper-case hex digits, a dash, and how many parts.
pub(crate) fn is_multipart_etag(etag: &str) -> bool {
    let Some((digits, count)) = etag::bare(etag).split_once('-') else { return false };
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte);
    digits.len() == 32 && digits.bytes().all(is_hex) && count.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Step;

    fn initiate(upload: &str, sequential: bool) -> Step {
        let upload = upload.to_owned();
        Step::Upload(UploadStep::Initiate { upload, sequential, forbid_overwrite: false })
    }

    fn part(upload: &str, number: u16, text: &str) -> Step {
        let content = Content::of(&Body::new(text.to_owned()));
        Step::Upload(UploadStep::Part { upload: upload.to_owned(), number, content })
    }

    fn complete(upload: &str, parts: Option<Vec<(u16, String)>>) -> Step {
        let (upload, forbid_overwrite, part_min) = (upload.to_owned(), false, 3);
        Step::Upload(UploadStep::Complete { upload, parts, forbid_overwrite, part_min })
    }

    fn told(key: &mut Key, step: Step) -> Reply {
        let (after, reply) = key.step(&step, &Bucket::default());
        if reply.changes_nothing() || !step.may_change() {
            assert_eq!(after, *key, "{step:?}");
        }
        *key = after;
        reply
    }

    #[test]
    fn an_upload_shows_nothing_until_it_replaces_the_object_and_is_over_then() {
        let mut key = Key::default();
        told(&mut key, initiate("U", false));
        told(&mut key, part("U", 9, "end"));
        told(&mut key, part("U", 2, "begin"));
        assert_eq!(told(&mut key, Step::Head), Reply::Refused(Refusal::NoSuchKey));
        let Reply::Completed { etag, crc64 } = told(&mut key, complete("U", None)) else {
            panic!("not completed")
        };
        assert!(is_multipart_etag(&etag) && etag.ends_with("-2"));
        assert_eq!(crc64, Content::of(&Body::new("beginend")).crc64());
        assert_eq!(told(&mut key, complete("U", None)), Reply::Refused(Refusal::NoSuchUpload));
        let append = Step::Append { position: 8, body: Body::new("x") };
        assert_eq!(told(&mut key, append), Reply::Refused(Refusal::NotAppendable));
    }

    #[test]
    fn order_comes_before_presence_and_presence_before_size() {
        let mut key = Key::default();
        told(&mut key, initiate("U", false));
        assert_eq!(told(&mut key, complete("U", None)), Reply::Refused(Refusal::NoParts));
        told(&mut key, part("U", 1, "ab"));
        told(&mut key, part("U", 2, "cd"));
        let of = |text: &str| Content::of(&Body::new(text.to_owned())).md5();
        for (parts, refusal) in [
            (vec![(2, "?".to_owned()), (1, of("ab"))], Refusal::OutOfOrder),
            (vec![(1, of("cd")), (2, of("cd"))], Refusal::InvalidPart),
            (vec![(1, of("ab")), (2, of("cd"))], Refusal::PartTooSmall),
        ] {
            assert_eq!(told(&mut key, complete("U", Some(parts))), Reply::Refused(refusal));
        }
        let one = told(&mut key, complete("U", Some(vec![(2, of("cd"))])));
        assert!(matches!(one, Reply::Completed { .. }));
    }

    #[test]
    fn a_sequential_upload_takes_the_next_part_or_the_last_one_again() {
        let mut key = Key::default();
        told(&mut key, initiate("U", true));
        for (number, good) in [(2, false), (0, false), (1, true), (1, true), (2, true), (1, false)]
        {
            let reply = told(&mut key, part("U", number, "x"));
            assert_eq!(matches!(reply, Reply::PartStored { .. }), good, "{number}");
        }
    }
}
