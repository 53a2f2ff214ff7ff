//! `user`: passwords of phones, for those without a provisioning system. Only their hashes are stored.

use std::path::PathBuf;
use std::process::ExitCode;

use sip::digest::Algorithm;
use sql::{NewPassword, Store, StoreOptions};

use crate::configuration::{Role, find_database, load};
use crate::login::first_line;
use crate::random::random_token;
use crate::say;
use crate::settings::Settings;

/// How many users are read at a time.
const PAGE: i64 = 1000;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum UserCommand {
    /// Give a user a password, in place of the one before. Without --password-file a new one is made and printed.
    Add {
        /// The user, such as alice@example.org; the domain is the realm.
        #[arg(value_parser = account)]
        user: Account,
        /// File whose first line is the password.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Take a user's password away.
    Remove {
        /// The user.
        #[arg(value_parser = account)]
        user: Account,
    },
    /// List the users, and the algorithms by which each can prove a password.
    List,
}

/// A user of a domain.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    username: String,
    domain: String,
}

fn account(text: &str) -> Result<Account, String> {
    let refused = || format!("{text:?} is not a user such as alice@example.org");
    let bare = text.strip_prefix("sip:").unwrap_or(text);
    let (username, domain) = bare.rsplit_once('@').ok_or_else(refused)?;
    // The name must be one that somebody can be known by.
    sip::Aor::of_account(username, domain, false).map_err(|_| refused())?;
    match username.is_empty() || text.chars().any(char::is_control) {
        true => Err(refused()),
        false => Ok(Account {
            username: username.to_owned(),
            domain: domain.trim_end_matches('.').to_ascii_lowercase(),
        }),
    }
}

/// Does what the command says. Exits with 1 where there is no such user.
pub(crate) async fn run(settings: &Settings, command: &UserCommand) -> anyhow::Result<ExitCode> {
    let config = load(settings, Role::Other)?;
    let url = find_database(settings, &config)?;
    let store = Store::connect(url.expose(), &StoreOptions::of(&config, 1))?;
    match command {
        UserCommand::Add {
            user,
            password_file,
        } => add(&store, user, password_file.as_deref()).await,
        UserCommand::Remove { user } => remove(&store, user).await,
        UserCommand::List => list(&store).await,
    }
}

async fn add(
    store: &Store,
    user: &Account,
    password_file: Option<&std::path::Path>,
) -> anyhow::Result<ExitCode> {
    let Account { username, domain } = user;
    let password = match password_file {
        Some(file) => first_line(file)?,
        None => random_token() + &random_token(),
    };
    let hashes = NewPassword {
        ha1: Algorithm::Md5.ha1(username, domain, &password),
        ha1b: Algorithm::Md5.ha1(&format!("{username}@{domain}"), domain, &password),
        sha256: Algorithm::Sha256.ha1(username, domain, &password),
    };
    let is_new = store
        .identity()
        .put_subscriber(username, domain, &hashes)
        .await?;
    let what = if is_new { "added" } else { "changed" };
    say(format_args!("{username}@{domain} {what}"));
    if password_file.is_none() {
        say(format_args!("password: {password}"));
    }
    Ok(ExitCode::SUCCESS)
}

async fn remove(store: &Store, user: &Account) -> anyhow::Result<ExitCode> {
    let Account { username, domain } = user;
    let existed = store.identity().delete_subscriber(username, domain).await?;
    if !existed {
        anyhow::bail!("there is no user {username}@{domain}");
    }
    say(format_args!("{username}@{domain} removed"));
    Ok(ExitCode::SUCCESS)
}

async fn list(store: &Store) -> anyhow::Result<ExitCode> {
    let (mut username, mut domain) = (String::new(), String::new());
    loop {
        let page = store
            .identity()
            .subscribers((&username, &domain), PAGE)
            .await?;
        let Some(last) = page.last() else {
            return Ok(ExitCode::SUCCESS);
        };
        (username, domain) = (last.username.clone(), last.domain.clone());
        for user in &page {
            let algorithms = match (user.has_sha256, user.has_md5) {
                (true, true) => "SHA-256, MD5",
                (true, false) => "SHA-256",
                (false, true) => "MD5",
                (false, false) => "no password",
            };
            say(format_args!(
                "{}@{}\t{algorithms}",
                user.username, user.domain
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::account;

    #[test]
    fn who_a_user_can_be() {
        for (text, expected) in [
            ("alice@example.org", Some(("alice", "example.org"))),
            ("sip:alice@Example.ORG.", Some(("alice", "example.org"))),
            ("a@b@example.org", Some(("a@b", "example.org"))),
            ("alice", None),
            ("@example.org", None),
            ("alice@", None),
            ("alice@exa mple", None),
        ] {
            let read = account(text).ok();
            let read = read
                .as_ref()
                .map(|user| (user.username.as_str(), user.domain.as_str()));
            assert_eq!(read, expected, "{text}");
        }
    }
}
