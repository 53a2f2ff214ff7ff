//! What each statement does, area by area.

#[path = "../database/mod.rs"]
mod database;

mod by_hand;
mod errors;
mod node;
mod publication;
mod queue;
mod subscription;
