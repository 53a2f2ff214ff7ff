//! The workloads in the box.

macro_rules! workloads {
    ($($name:literal),* $(,)?) => {
        /// The names of the workloads in the box.
        pub const NAMES: &[&str] = &[$($name),*];
        const TEXTS: &[&str] = &[$(include_str!(concat!("../../workloads/", $name, ".toml"))),*];
    };
}

workloads!(
    "publish-1000",
    "publish-2000x1",
    "publish-100x10",
    "latency-100x10",
    "latency-1000x10",
    "fanout-2000",
    "notify-100x100",
    "subscribe",
    "resubscribe",
    "storm-50000",
    "publish-initial",
    "publish-refresh",
    "publish-remove",
    "office",
);

/// The text of a workload in the box.
pub(super) fn text_of(name: &str) -> Option<&'static str> {
    let index = NAMES.iter().position(|known| *known == name)?;
    TEXTS.get(index).copied()
}
