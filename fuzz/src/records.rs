//! Records and keys of the object layer. With and without the format byte, which a fuzzer should not have to guess.

pub(crate) fn run(data: &[u8]) {
    ossia_objects::fuzzing::keys(data);
    ossia_objects::fuzzing::records(data);
    ossia_objects::fuzzing::records(&[&[1], data].concat());
}
