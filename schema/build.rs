//! A migration that is added must be embedded: `embed_migrations!` alone notices only those that change.
fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
