//! postgres-dev
