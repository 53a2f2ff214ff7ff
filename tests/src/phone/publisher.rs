//! The publishing side of a phone (RFC 3903 section 4): one publication and its entity-tag.

use std::net::SocketAddr;

use super::{Phone, token};
use crate::message::Message;
use crate::{document, pidf};

/// One publication of one phone.
pub struct Publisher {
    phone: Phone,
    presentity: String,
    event: String,
    call_id: String,
    from_tag: String,
    cseq: u32,
    /// The entity-tag of the last 2xx.
    pub etag: Option<String>,
}

impl Phone {
    /// A publication of the presence of `presentity` that is still to be made.
    pub fn publisher(&self, presentity: &str) -> Publisher {
        self.publisher_of(presentity, "presence")
    }

    /// The same of any event package; `event` is the value of the header.
    pub fn publisher_of(&self, presentity: &str, event: &str) -> Publisher {
        Publisher {
            phone: self.clone(),
            presentity: presentity.to_string(),
            event: event.to_string(),
            call_id: token(),
            from_tag: token(),
            cseq: 0,
            etag: None,
        }
    }
}

impl Publisher {
    /// The next PUBLISH: initial without an entity-tag, else conditional; a body makes it a
    /// modification, `expires_s` 0 a removal. Counts CSeq up.
    pub fn draft(&mut self, body: Option<&str>, expires_s: Option<u32>) -> Message {
        self.cseq += 1;
        let mut request = self
            .phone
            .request("PUBLISH", &self.presentity)
            .without("Contact")
            .set(
                "From",
                format!("<{}>;tag={}", self.presentity, self.from_tag),
            )
            .set("Call-ID", self.call_id.clone())
            .set("CSeq", format!("{} PUBLISH", self.cseq))
            .with("Event", self.event.clone());
        if let Some(seconds) = expires_s {
            request = request.with("Expires", seconds.to_string());
        }
        if let Some(etag) = &self.etag {
            request = request.with("SIP-If-Match", etag.clone());
        }
        match body {
            Some(body) => request.with_body(document::media_type(&self.event), body),
            None => request,
        }
    }

    /// Keeps the entity-tag of a 2xx.
    pub fn learn(&mut self, response: &Message) {
        if response
            .status()
            .is_some_and(|status| (200..300).contains(&status))
        {
            self.etag = response.header("SIP-ETag").map(String::from);
        }
    }

    /// Publishes a document: initially, or as a modification.
    pub async fn publish(&mut self, server: SocketAddr, body: &str, expires_s: u32) -> Message {
        let request = self.draft(Some(body), Some(expires_s));
        self.send(&request, server).await
    }

    /// Shows a state and a note, for an hour.
    ///
    /// # Panics
    /// When that is not answered by 200.
    pub async fn show(&mut self, server: SocketAddr, basic: &str, note: &str) {
        let document = pidf::document(&self.presentity, "phone", basic, note);
        let response = self.publish(server, &document, 3600).await;
        assert_eq!(response.status(), Some(200), "{response}");
    }

    /// Refreshes without a body.
    pub async fn refresh(&mut self, server: SocketAddr, expires_s: u32) -> Message {
        let request = self.draft(None, Some(expires_s));
        self.send(&request, server).await
    }

    /// Removes the publication.
    pub async fn remove(&mut self, server: SocketAddr) -> Message {
        let request = self.draft(None, Some(0));
        let response = self.send(&request, server).await;
        self.etag = None;
        response
    }

    async fn send(&mut self, request: &Message, server: SocketAddr) -> Message {
        let response = self.phone.send(request, server).await;
        self.learn(&response);
        response
    }
}
