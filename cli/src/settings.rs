//! What overrides the configuration, for every command that reads one.

use std::path::PathBuf;

use clap::Args;

/// What overrides the configuration. Accepted before and after each command; its help shows those that it reads.
#[derive(Debug, Args)]
#[command(next_help_heading = "Configuration")]
pub(crate) struct Settings {
    /// The configuration file (TOML); see docs/CONFIGURATION.md.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// The PostgreSQL to use, such as postgresql://user@host/database; stands for presence.db_url.
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) database_url: Option<String>,

    /// Where to listen, such as udp:127.0.0.1:5060 or tcp:0.0.0.0:5060; repeatable. Port 0: any free one.
    #[arg(long, global = true, value_name = "TRANSPORT:ADDRESS:PORT")]
    pub(crate) listen: Vec<String>,

    /// Where `run` keeps its own PostgreSQL, and where others look for it when no database is named [default:
    /// $XDG_DATA_HOME/pgpresence or ~/.local/share/pgpresence; as root /var/lib/pgpresence].
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,

    /// Set one key of the configuration (with `load`: of the workload); repeatable.
    #[arg(long, global = true, value_name = "SECTION.KEY=VALUE", value_parser = split_set)]
    pub(crate) set: Vec<(String, String)>,
}

fn split_set(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(path, value)| (path.trim().to_owned(), value.to_owned()))
        .ok_or_else(|| "write SECTION.KEY=VALUE, such as presence.max_expires=600".to_owned())
}
