//! Every statement by name: of each file in `sql/statements` a struct of its parameters ([`crate::statement`]), in a module for its area.
//! A contract test holds the paths and the headers together.

use std::time::SystemTime;

use crate::statement::{Array, Call, Parameter, Statement, Value};

include!(concat!(env!("OUT_DIR"), "/statements.rs"));
