//! The steps that PUBLISH and SUBSCRIBE have in common: RFC 3261 section 8.2, and the material of derived values.
//!
//! Faults are `&'static str` reason phrases here; the two methods wrap them in their own rejections.

use sip::{Aor, ParseError, Request, StatusCode, Uri};

/// What tells one request from all others, and a retransmission of it not.
pub(crate) struct Identity {
    pub(crate) call_id: String,
    pub(crate) from_tag: String,
    pub(crate) cseq: u32,
}

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
        Ok(Self {
            call_id,
            from_tag,
            cseq,
        })
    }

    /// The parts of a value derived from this request: the same on any server, another for any other request.
    pub(crate) fn derive(
        &self,
        secret: &sip::token::Secret,
        purpose: &str,
        more: &[&str],
    ) -> String {
        let cseq = self.cseq.to_string();
        let mut parts: Vec<&[u8]> = vec![
            self.call_id.as_bytes(),
            self.from_tag.as_bytes(),
            cseq.as_bytes(),
        ];
        parts.extend(more.iter().map(|part| part.as_bytes()));
        secret.tag(purpose, &parts)
    }
}

/// Why a Request-URI names no presentity.
pub(crate) enum UriFault {
    Scheme,
    Malformed(&'static str),
}

/// The presentity that the Request-URI names (RFC 3903 section 6 step 1; RFC 6665 section 4.2.1.1).
pub(crate) fn presentity(request: &Request, fold_case: bool) -> Result<Aor, UriFault> {
    presentity_of(request.parsed_uri(), fold_case)
}

/// The presentity that a URI names.
pub(crate) fn presentity_of(
    uri: Result<Uri, ParseError>,
    fold_case: bool,
) -> Result<Aor, UriFault> {
    let fault = |error: ParseError| match error.status {
        StatusCode::UNSUPPORTED_URI_SCHEME => UriFault::Scheme,
        _ => UriFault::Malformed(error.reason),
    };
    let uri = uri.map_err(fault)?;
    if uri.scheme == sip::Scheme::Other {
        return Err(UriFault::Scheme);
    }
    let aor = Aor::from_uri(&uri, fold_case).map_err(fault)?;
    require_storable(&[&aor.username, &aor.domain]).map_err(UriFault::Malformed)?;
    Ok(aor)
}

/// The option tags of Require that we do not know: all of them, so far (RFC 3261 section 8.2.2.3).
pub(crate) fn unsupported_extensions(request: &Request) -> Vec<String> {
    request.require()
}

/// The requested interval in seconds, if there is one. A value that is no number is a fault, never 0; two that differ
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
