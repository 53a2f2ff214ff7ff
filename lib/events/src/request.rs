//! The steps that PUBLISH and SUBSCRIBE have in common: RFC 3261 section 8.2, and what makes a request the same request.
//!
//! Faults are `&'static str` reason phrases here; the two methods wrap them in their own rejections.

use sip::bound::{self, AddressBound};
use sip::token::{self, EntityTag, Secret};
use sip::{Aor, HeaderName, ParseError, Request, StatusCode, Uri};

/// What tells one request from all others, and a copy of it not: the phone's own transaction.
///
/// The bottom Via is the phone's; an edge that fails over to another server puts another branch on top of the same request. Call-ID,
/// From-tag and CSeq alone are not enough: devices use all three again, from a template or after a reboot.
///
/// RFC 3261 section 17.2.3 compares branch, sent-by and method where the branch begins with `z9hG4bK`. Of an older one it asks for
/// Request-URI, To-tag, From-tag, Call-ID, CSeq and Via; each derived value has all of these too ([`Identity::derive`] adds the presentity
/// and what the request names of ours). Since such a branch, or none, need not be another one for another request, Expires and the
/// body count as well then: a copy has the same.
pub(crate) struct Identity {
    pub(crate) call_id: String,
    pub(crate) from_tag: String,
    pub(crate) cseq: u32,
    transaction: Transaction,
}

struct Transaction {
    method: Vec<u8>,
    /// Of the bottom Via.
    branch: String,
    /// Of the bottom Via, in lower case.
    sent_by: String,
    /// Empty where the branch has the magic cookie.
    expires: Vec<u8>,
    /// The same.
    body: Vec<u8>,
}

/// What a branch begins with that is another one for each transaction (RFC 3261 section 8.1.1.7).
const MAGIC_COOKIE: &str = "z9hG4bK";

impl Identity {
    /// The identity of a request whose mandatory headers have been checked.
    pub(crate) fn of(request: &Request) -> Result<Self, &'static str> {
        let call_id = request.call_id().map_err(|error| error.reason)?.to_owned();
        let cseq = request.cseq().map_err(|error| error.reason)?.number;
        let from = request.from().map_err(|error| error.reason)?;
        // RFC 3261 section 12.1.1: "A UAS MUST be prepared to receive a request without a tag in the From field, in which
        // case the tag is considered to have a value of null."
        let from_tag = from.tag().unwrap_or_default().to_owned();
        require_storable(&[&call_id, &from_tag])?;
        bound::CALL_ID.check(&call_id)?;
        bound::FROM_TAG.check(&from_tag)?;
        Ok(Self {
            call_id,
            from_tag,
            cseq,
            transaction: transaction(request)?,
        })
    }

    /// A tag derived from this request, which is about this presentity: the same on any server, another for any other request.
    ///
    /// It begins with [`token::home`] of the presentity.
    pub(crate) fn derive(
        &self,
        secret: &Secret,
        purpose: &str,
        presentity: &Aor,
        more: &[&str],
    ) -> String {
        let presentity = presentity.uri();
        token::home(&presentity) + &self.tag(secret, purpose, &presentity, more)
    }

    /// The entity-tag of what this request publishes for this presentity, derived as [`Identity::derive`] says.
    ///
    /// It begins with [`token::home`] of the presentity and with [`token::source`]: of the tag that the request names, so that all tags of
    /// a publication have the same one, whatever becomes of the device's address; else, of the request itself.
    pub(crate) fn entity_tag(
        &self,
        secret: &Secret,
        presentity: &Aor,
        package: &str,
        if_match: Option<&str>,
    ) -> String {
        let presentity = presentity.uri();
        let named = if_match.and_then(|tag| EntityTag::read(tag)?.source);
        let source = match named {
            Some(source) => source.to_owned(),
            None => token::source(&self.transaction.sent_by),
        };
        // A copy names the same entity-tag. What a device sends with the next tag, and all else as before, is another request.
        let more = [package, if_match.unwrap_or_default()];
        token::home(&presentity) + &source + &self.tag(secret, "entity-tag", &presentity, &more)
    }

    /// A number that tells this request from others in its dialog.
    pub(crate) fn digest(&self, secret: &Secret) -> i64 {
        secret.digest("request", &self.parts(&self.cseq.to_string(), &[]))
    }

    fn tag(&self, secret: &Secret, purpose: &str, presentity: &str, more: &[&str]) -> String {
        let mut more = more.to_vec();
        more.push(presentity);
        secret.tag(purpose, &self.parts(&self.cseq.to_string(), &more))
    }

    fn parts<'a>(&'a self, cseq: &'a str, more: &[&'a str]) -> Vec<&'a [u8]> {
        let mut parts: Vec<&[u8]> = vec![
            self.call_id.as_bytes(),
            self.from_tag.as_bytes(),
            cseq.as_bytes(),
        ];
        let transaction = &self.transaction;
        parts.extend([
            transaction.method.as_slice(),
            transaction.branch.as_bytes(),
            transaction.sent_by.as_bytes(),
            &transaction.expires,
            &transaction.body,
        ]);
        parts.extend(more.iter().map(|part| part.as_bytes()));
        parts
    }
}

fn transaction(request: &Request) -> Result<Transaction, &'static str> {
    let via = request.bottom_via().map_err(|error| error.reason)?;
    let sent_by = match via.port {
        Some(port) => format!("{}:{port}", via.host),
        None => via.host.to_string(),
    };
    let branch = via.branch.unwrap_or_default();
    let (expires, body) = match branch.starts_with(MAGIC_COOKIE) {
        true => (Vec::new(), Vec::new()),
        false => (
            request
                .header(HeaderName::Expires)
                .unwrap_or_default()
                .to_vec(),
            request.body().to_vec(),
        ),
    };
    Ok(Transaction {
        method: request.method().as_str().as_bytes().to_vec(),
        branch,
        sent_by: sent_by.to_ascii_lowercase(),
        expires,
        body,
    })
}

/// Why a Request-URI names no presentity.
pub(crate) enum UriFault {
    Scheme,
    TooLong(&'static str),
    Malformed(&'static str),
}

/// The presentity that the Request-URI names (RFC 3903 section 6 step 1; RFC 6665 section 4.2.1.1).
pub(crate) fn presentity(request: &Request, fold_case: bool) -> Result<Aor, UriFault> {
    presentity_of(&bound::REQUEST_URI, request.parsed_uri(), fold_case)
}

/// The presentity that a URI names.
pub(crate) fn presentity_of(
    bound: &AddressBound,
    uri: Result<Uri, ParseError>,
    fold_case: bool,
) -> Result<Aor, UriFault> {
    let fault = |error: ParseError| match error.status {
        StatusCode::UNSUPPORTED_URI_SCHEME => UriFault::Scheme,
        StatusCode::REQUEST_URI_TOO_LONG => UriFault::TooLong(error.reason),
        _ => UriFault::Malformed(error.reason),
    };
    let uri = uri.map_err(fault)?;
    if uri.scheme == sip::Scheme::Other {
        return Err(UriFault::Scheme);
    }
    let aor = Aor::within(bound, &uri, fold_case).map_err(fault)?;
    require_storable(&[&aor.username, &aor.domain]).map_err(UriFault::Malformed)?;
    Ok(aor)
}

/// The option tags of Require that we do not know: all of them, so far (RFC 3261 section 8.2.2.3).
pub(crate) fn unsupported_extensions(request: &Request) -> Vec<String> {
    request.require()
}

/// The requested interval in seconds, if there is one. A value that is not a number is a fault, never 0; two that differ
/// have been refused with the mandatory headers.
pub(crate) fn requested_expires_s(request: &Request) -> Result<Option<u32>, &'static str> {
    request.expires().map_err(|error| error.reason)
}

/// Refuses texts that the database or a later header could not hold.
pub(crate) fn require_storable(texts: &[&str]) -> Result<(), &'static str> {
    if texts
        .iter()
        .any(|text| text.chars().any(|c| c.is_control() && c != '\t'))
    {
        return Err("Control Character In Header");
    }
    Ok(())
}
