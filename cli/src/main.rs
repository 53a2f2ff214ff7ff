//! The binary `pgpresence`.
fn main() {}
