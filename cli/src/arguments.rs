//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;

use crate::load::LoadArgs;
use crate::publish::PublishArgs;
use crate::settings::Settings;
use crate::user::UserCommand;
use crate::watch::WatchArgs;

/// A SIP presence server whose only state is PostgreSQL.
#[derive(Debug, Parser)]
#[command(name = "pgpresence", version, about, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) settings: Settings,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything on this machine: PostgreSQL (unless a database URL is given), one server, the notifiers.
    Run,
    /// Run one SIP front-end.
    Server(NodeArgs),
    /// Run one sender of NOTIFYs.
    Notifier(NodeArgs),
    /// Bring the database's schema up to date.
    Migrate(MigrateArgs),
    /// Copy publications, subscriptions, decisions and documents from a Kamailio database, so that running dialogs go on.
    ///
    /// Run it while Kamailio runs, then stop Kamailio and run it again: the second run brings what has changed since. Start
    /// servers and notifiers afterwards. See docs/FROM-KAMAILIO.md.
    Import(ImportArgs),
    /// Run a command, like `kamctl rpc`; it uses the database directly, whether a server runs or not.
    Rpc(RpcArgs),
    /// Show the processes and what is due; exit with 1 if not all is well.
    Status(StatusArgs),
    /// Show all about a presentity: publications, documents, watchers, and why each watcher got a NOTIFY or not.
    Explain(ExplainArgs),
    /// Check, show or import a configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Subscribe to a presentity, and print every NOTIFY.
    Watch(WatchArgs),
    /// Publish for a presentity, until Ctrl-C.
    Publish(PublishArgs),
    /// Make load for a presence server, this or another one, and check what it does.
    Load(LoadArgs),
    /// Give phones passwords for digest authentication, in the table `subscriber`.
    #[command(subcommand)]
    User(UserCommand),
    /// Open psql on the database.
    Psql(PsqlArgs),
    /// Print the completions of this command line for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Write a manual page for each command.
    Man {
        /// The folder that gets the pages, such as /usr/local/share/man/man1.
        folder: PathBuf,
    },
}

/// Which of the [`Settings`] a command reads, by the names of their fields.
const READ_BY: &[(&[&str], &[&str])] = &[
    (
        &["run"],
        &["config", "database_url", "listen", "data_dir", "set"],
    ),
    (&["server"], &["config", "database_url", "listen", "set"]),
    (&["notifier"], &["config", "database_url", "listen", "set"]),
    (&["migrate"], &["config", "database_url", "data_dir", "set"]),
    (&["import"], &["config", "database_url", "data_dir", "set"]),
    (&["rpc"], &["config", "database_url", "data_dir", "set"]),
    (&["status"], &["config", "database_url", "data_dir", "set"]),
    (&["explain"], &["config", "database_url", "data_dir", "set"]),
    (
        &["user", "add"],
        &["config", "database_url", "data_dir", "set"],
    ),
    (
        &["user", "remove"],
        &["config", "database_url", "data_dir", "set"],
    ),
    (
        &["user", "list"],
        &["config", "database_url", "data_dir", "set"],
    ),
    (&["psql"], &["config", "database_url", "data_dir", "set"]),
    (
        &["config", "check"],
        &["config", "database_url", "listen", "set"],
    ),
    (
        &["config", "show"],
        &["config", "database_url", "listen", "set"],
    ),
    (&["load"], &["set"]),
];

impl Arguments {
    /// The whole command line, each command with the settings that concern it.
    pub(crate) fn grammar() -> clap::Command {
        let all = Arguments::command();
        let settings: Vec<Arg> = all
            .get_arguments()
            .filter(|argument| argument.is_global_set())
            .cloned()
            .collect();
        show_only_what_is_read(all, &settings, &mut Vec::new())
    }

    /// Reads the command line of this process. Ends it with the usage where that is wrong.
    pub(crate) fn read() -> Arguments {
        let found: ArgMatches = Arguments::grammar().get_matches();
        Arguments::from_arg_matches(&found).unwrap_or_else(|error| error.exit())
    }
}

/// Hides, in each command below this one, the settings that it does not read.
fn show_only_what_is_read(
    command: clap::Command,
    settings: &[Arg],
    path: &mut Vec<String>,
) -> clap::Command {
    command.mut_subcommands(|below| {
        path.push(below.get_name().to_owned());
        let read = READ_BY
            .iter()
            .find(|(names, _)| names == path)
            .map_or(&[][..], |(_, read)| read);
        let hidden = settings
            .iter()
            .filter(|setting| !read.contains(&setting.get_id().as_str()))
            .map(|setting| setting.clone().hide(true));
        let is_group = below.has_subcommands();
        let below = show_only_what_is_read(below, settings, path);
        path.pop();
        match is_group {
            true => below,
            false => below.args(hidden.collect::<Vec<_>>()),
        }
    })
}

#[derive(Debug, Args)]
pub(crate) struct NodeArgs {
    /// Started by `run`: take the configuration from standard input, and stop when that ends.
    #[arg(long, hide = true)]
    pub(crate) supervised: bool,
}

#[derive(Debug, Args)]
pub(crate) struct MigrateArgs {
    /// Change whether the database compares users with case (0) or without (1), and convert its rows. Refused while processes
    /// run, and if rows of two users would collide: it names them. Set presence.sip_uri_match to the same value.
    #[arg(long, value_name = "0|1", value_parser = clap::value_parser!(u8).range(0..=1))]
    pub(crate) uri_match: Option<u8>,
}

#[derive(Debug, Args)]
pub(crate) struct RpcArgs {
    /// The command, such as presence.watcher_list; see docs/RPC.md.
    pub(crate) method: String,

    /// Its parameters, in order.
    #[arg(value_name = "ARGUMENT", allow_negative_numbers = true)]
    pub(crate) parameters: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The presentity, such as sip:alice@example.org.
    pub(crate) uri: String,

    /// The largest number of subscriptions to show for each event package.
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    pub(crate) watchers: u32,
}

#[derive(Debug, Args)]
pub(crate) struct PsqlArgs {
    /// Arguments of psql, such as -c 'SELECT count(*) FROM presentity'.
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGUMENT"
    )]
    pub(crate) arguments: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// How many subscriptions may have failed five times in a row or more while all is well: phones that are gone, until they expire.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub(crate) tolerate: u32,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Report all mistakes; exit with 2 if there is one.
    Check,
    /// Print the effective settings, defaults included, without secrets.
    Show,
    /// Convert a Kamailio configuration: TOML to standard output, what was left out and why to standard error.
    Import(ConfigImportArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Kamailio's database, such as postgresql://kamailio@host/kamailio. Nothing is written there.
    // Not parsed here: what cannot be parsed would be quoted, and there may be a password in it.
    #[arg(long, value_name = "URL")]
    pub(crate) from: String,

    /// Show what would be done, and do nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Send each imported dialog one NOTIFY as soon as a notifier runs, whether or not anything changes.
    #[arg(long)]
    pub(crate) notify: bool,

    /// Send the NOTIFYs of all imported dialogs through this proxy, such as sip:192.0.2.10:5060: the edge that took over
    /// Kamailio's address. Phones behind NAT can be reached from that address only.
    #[arg(long, value_name = "URI")]
    pub(crate) route: Option<String>,

    /// Skip this many CSeq numbers in each dialog: 1 if the database is a copy, which does not show which NOTIFY a Kamailio
    /// notifier process had just sent when it was stopped.
    #[arg(long, value_name = "NUMBERS", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub(crate) cseq_gap: u32,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigImportArgs {
    /// The Kamailio configuration, such as /etc/kamailio/kamailio.cfg; files that it includes are read as well.
    pub(crate) file: PathBuf,

    /// Write the TOML to this file. It may hold a password: a new file is readable by you only; check the rights of an existing one.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Define a name, as `kamailio -A` does; repeatable.
    #[arg(long, short = 'A', value_name = "NAME[=VALUE]", value_parser = split_define)]
    pub(crate) define: Vec<(String, String)>,
}

fn split_define(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(is_word) {
        return Err("write NAME or NAME=VALUE, such as WITH_PRESENCE".to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::{Arguments, READ_BY};

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::grammar().debug_assert();
    }

    #[test]
    fn each_command_that_reads_settings_is_there() {
        for (path, read) in READ_BY {
            let mut command = Arguments::grammar();
            command.build();
            for name in *path {
                command = command.find_subcommand(name).unwrap().clone();
            }
            for name in *read {
                assert!(
                    command.get_arguments().any(|found| found.get_id() == name),
                    "{path:?} {name}"
                );
            }
        }
    }
}
