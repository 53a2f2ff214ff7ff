//! A count of the bytes looked at, for the tests that prove that hostile input stays linear. Costs nothing elsewhere.

/// Notes that `bytes` bytes were looked at.
#[inline]
pub(crate) fn note(bytes: usize) {
    #[cfg(test)]
    counter::BYTES.with(|count| count.set(count.get() + bytes as u64));
    #[cfg(not(test))]
    let _ = bytes;
}

#[cfg(test)]
pub(crate) mod counter {
    use std::cell::Cell;

    thread_local!(pub(crate) static BYTES: Cell<u64> = const { Cell::new(0) });

    /// The bytes that `f` looks at.
    pub(crate) fn of<T>(f: impl FnOnce() -> T) -> (u64, T) {
        let before = BYTES.with(Cell::get);
        let result = f();
        (BYTES.with(Cell::get) - before, result)
    }
}
