//! Table tests: a raw PUBLISH and what it asks for.
