//! `ossia-sim`: power cuts and failing disks under a server binary.
fn main() {}
