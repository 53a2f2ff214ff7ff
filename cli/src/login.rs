//! The user agent's answer to a server that asks for a password (RFC 3261 section 22).

use std::path::PathBuf;

use anyhow::{Context, bail};
use sip::digest::Challenge;
use sip::{HeaderName, Method, Response, StatusCode};

use crate::random::random_token;

/// Who the user is, as `--user` and `--password-file` say it.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct LoginArgs {
    /// User name for a server that asks for a password. The password is read from `--password-file`, or from the environment
    /// variable PGPRESENCE_PASSWORD.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// File whose first line is the password of `--user`.
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
}

/// The password of this environment variable is used where no file is named.
const PASSWORD: &str = "PGPRESENCE_PASSWORD";

/// Answers challenges.
pub(crate) struct Login {
    user: String,
    password: String,
    /// The last challenge, and how often it was answered.
    challenge: Option<(Challenge, u32)>,
}

impl LoginArgs {
    /// The login, if there is one.
    ///
    /// # Errors
    /// The password cannot be read.
    pub(crate) fn read(&self) -> anyhow::Result<Option<Login>> {
        let Some(user) = &self.user else {
            return Ok(None);
        };
        let password = match &self.password_file {
            Some(file) => first_line(file)?,
            None => match std::env::var(PASSWORD) {
                Ok(password) => password,
                Err(_) => bail!("--user needs --password-file, or {PASSWORD} in the environment"),
            },
        };
        Ok(Some(Login {
            user: user.clone(),
            password,
            challenge: None,
        }))
    }
}

/// The first line of a file.
///
/// # Errors
/// It cannot be read, or is empty.
pub(crate) fn first_line(file: &std::path::Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read the password in {}", file.display()))?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => bail!("{} has no password in its first line", file.display()),
    }
}

impl Login {
    /// `Authorization` for the next request, if the server has asked for it before.
    pub(crate) fn authorization(&mut self, method: &Method, uri: &str) -> Option<String> {
        let (challenge, count) = self.challenge.as_mut()?;
        *count += 1;
        let cnonce = random_token();
        Some(challenge.answer(
            &self.user,
            &self.password,
            method.as_str(),
            uri,
            *count,
            &cnonce,
        ))
    }

    /// Whether a request should be sent once more, now with another answer. Not if the password was wrong: that would be so again.
    pub(crate) fn learn(&mut self, response: &Response) -> bool {
        if response.status() != StatusCode::UNAUTHORIZED {
            return false;
        }
        let lines = response.header_lines(HeaderName::WwwAuthenticate);
        let Some(challenge) = Challenge::choose(lines) else {
            return false;
        };
        let is_refused = self.challenge.is_some() && !challenge.stale;
        self.challenge = Some((challenge, 0));
        !is_refused
    }
}
