//! Texts that nobody can guess.

/// A random token of 16 hexadecimal digits: for tags and Call-IDs, and in twos for passwords.
pub(crate) fn random_token() -> String {
    format!("{:016x}", rand::random::<u64>())
}
