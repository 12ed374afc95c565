//! Documents of configurations: what a bucket or an object is set to, as it is sent, kept and sent back.
//!
//! A configuration is kept in the one form that `to_xml` writes: only elements that the protocol names, in their documented order,
//! whatever the client's writer made of it. So what is read back is the same for every SDK, and nothing unknown is ever echoed.
//!
//! | file | owns |
//! |---|---|
//! | `tagging.rs` | tags of objects and buckets |

mod tagging;

pub use self::tagging::{BUCKET_TAGS_MAX, Tagging};
