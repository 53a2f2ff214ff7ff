//! `[script]`.

use serde::{Deserialize, Serialize};

use super::value::{ScriptFile, Within, optional};

/// `[script]`: the routing script in Lua, which decides about requests and sees the answers to NOTIFYs (docs/SCRIPT.md). Servers
/// and notifiers read it when they start, and again at SIGHUP; if it does not load then, the old one stays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScriptConfig {
    /// The script. Empty: none; what `[identity]` lets in is accepted.
    ///
    /// Unit: none. Default: `""`. Range: empty or a file.
    #[serde(with = "optional")]
    pub file: Option<ScriptFile>,
    /// The processor time of one call of the script; when it is used up, the request is answered 500. Time in which the
    /// call waits for the database does not count.
    ///
    /// Unit: milliseconds. Default: `50`. Range: 1 to 10000.
    pub deadline_ms: Within<1, 10_000>,
    /// The memory of the script in each of its threads, including the variables that it keeps.
    ///
    /// Unit: bytes. Default: `16777216`. Range: 1048576 to 1073741824.
    pub memory_bytes: Within<1_048_576, 1_073_741_824>,
}

impl Default for ScriptConfig {
    fn default() -> ScriptConfig {
        ScriptConfig {
            file: None,
            deadline_ms: const { Within::of(50) },
            memory_bytes: const { Within::of(16_777_216) },
        }
    }
}
