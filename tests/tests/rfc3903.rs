//! RFC 3903 on the wire: one test for each MUST that concerns an event state compositor. The
//! sentence is quoted above each test.

mod section_4;
mod section_6;
