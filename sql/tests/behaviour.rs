//! What each statement does, area by area.

mod api;
mod bounds;
mod by_hand;
mod cleaning;
mod document;
mod ended;
mod errors;
mod feature;
mod import;
mod node;
mod operator;
mod publication;
mod quarantine;
mod queue;
mod repeats;
mod rules;
mod script;
mod served;
mod shown;
mod source;
mod subscription;
mod supersede;
mod uri;
mod watcher_states;
mod winfo;
