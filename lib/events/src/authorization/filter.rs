//! Applies a view to a document.
//!
//! RFC 5025 section 3.3: nothing is shown that no permission provides. A service, person or device is shown if it is selected;
//! what is "always reported" (section 3.3.2: identifier, basic status, contact, service-class, timestamp, the deviceID of a device)
//! comes with it; each other presence attribute needs a permission of its own. Kept elements keep their octets.

use super::identity::{canonical_uri, scheme_of};
use super::outline::{Element, Outline};
use super::view::{Attribute, Attributes, Selection, Selector, UserInput, View, polite_block};
use super::{DATA_MODEL, OMA_PRESENCE, PIDF, RPID};
use crate::document::Document;
use crate::document::tag::StartTag;
use crate::document::writer::DECLARATION;

impl View {
    /// What this view shows of a presentity's merged document. The whole document is handed on as it is, unread; otherwise the
    /// cost is linear in its size. What is not a presence document shows as that of a presentity without publications.
    /// Applied to its own result it shows the same, unless it selects by a class or service-id that it hides: apply it to the merged document.
    pub fn apply(&self, presentity: &str, document: &Document) -> Document {
        if self.is_everything() {
            return document.clone();
        }
        let shown = std::str::from_utf8(&document.body)
            .ok()
            .and_then(Outline::scan)
            .and_then(|outline| self.shown(&outline));
        match shown {
            Some(body) => Document::new(document.content_type.clone(), body),
            None => polite_block(presentity),
        }
    }

    fn shown(&self, outline: &Outline<'_>) -> Option<String> {
        if !outline.element(0).is(PIDF, "presence") {
            return None;
        }
        let mut out = String::from(DECLARATION);
        self.push_filtered(&mut out, outline, 0, Part::Presence);
        out.push('\n');
        Some(out)
    }

    /// Copies an element without what is not shown inside it. Blanks before what is kept are kept, other text is not.
    fn push_filtered(&self, out: &mut String, outline: &Outline<'_>, index: usize, part: Part) {
        let element = outline.element(index);
        push_tag(out, outline, element, |name| part.keeps_xml_attribute(name));
        let mut at = element.open_end;
        for child in outline.children(index) {
            let inner = outline.element(child);
            let gap = at..inner.start;
            at = inner.end;
            let treatment = self.treatment(outline, child, part);
            if treatment != Treatment::Hidden {
                push_blank(out, &outline.text()[gap]);
            }
            match treatment {
                Treatment::Hidden => {}
                Treatment::Whole => out.push_str(&outline.text()[inner.start..inner.end]),
                Treatment::Filtered(part) => self.push_filtered(out, outline, child, part),
                Treatment::UserInput(level) => {
                    push_tag(out, outline, inner, |name| {
                        is_declaration(name)
                            || (level == UserInput::Thresholds && name == "idle-threshold")
                    });
                    out.push_str(&outline.text()[inner.open_end..inner.end]);
                }
            }
        }
        push_blank(out, &outline.text()[at..element.close_start.max(at)]);
        out.push_str(&outline.text()[element.close_start..element.end]);
    }

    fn treatment(&self, outline: &Outline<'_>, index: usize, parent: Part) -> Treatment {
        let element = outline.element(index);
        let component = match (parent, &*element.namespace, element.name) {
            (Part::Presence, PIDF, "tuple") => Some((Part::Tuple, &self.services)),
            (Part::Presence, DATA_MODEL, "person") => Some((Part::Person, &self.persons)),
            (Part::Presence, DATA_MODEL, "device") => Some((Part::Device, &self.devices)),
            _ => None,
        };
        if let Some((part, selection)) = component {
            return match (selection.selects(outline, index), &self.attributes) {
                (false, _) => Treatment::Hidden,
                (true, Attributes::All) => Treatment::Whole,
                (true, Attributes::Only { .. }) => Treatment::Filtered(part),
            };
        }
        match (parent, &*element.namespace, element.name) {
            (Part::Tuple, PIDF, "status") => Treatment::Filtered(Part::Status),
            (Part::Tuple, PIDF, "contact" | "timestamp")
            | (Part::Tuple, RPID, "service-class")
            | (Part::Status, PIDF, "basic")
            | (Part::Person, DATA_MODEL, "timestamp")
            | (Part::Device, DATA_MODEL, "timestamp" | "deviceID") => Treatment::Whole,
            (_, namespace, name) => self.attribute_verdict(outline, index, namespace, name),
        }
    }

    fn attribute_verdict(
        &self,
        outline: &Outline<'_>,
        index: usize,
        namespace: &str,
        name: &str,
    ) -> Treatment {
        let Attributes::Only {
            known,
            user_input,
            unknown,
        } = &self.attributes
        else {
            return Treatment::Whole;
        };
        let is_shown = if namespace == RPID && name == "user-input" {
            return match user_input {
                UserInput::False => Treatment::Hidden,
                UserInput::Full => Treatment::Whole,
                // An extension inside might tell what the level hides.
                _ if !outline.is_plain(index) => Treatment::Hidden,
                level => Treatment::UserInput(*level),
            };
        } else if let Some(attribute) = Attribute::of(namespace, name) {
            known.contains(&attribute)
        } else {
            // A set of pairs of strings is not to be searched by pairs of slices without copying.
            !unknown.is_empty() && unknown.contains(&(namespace.to_owned(), name.to_owned()))
        };
        if is_shown {
            Treatment::Whole
        } else {
            Treatment::Hidden
        }
    }
}

impl Selection {
    fn selects(&self, outline: &Outline<'_>, index: usize) -> bool {
        let selectors = match self {
            Self::All => return true,
            Self::Only(selectors) if selectors.is_empty() => return false,
            Self::Only(selectors) => selectors,
        };
        let element = outline.element(index);
        if let Some(id) = element.attribute("id")
            && selectors.contains(&Selector::OccurrenceId(id.into_owned()))
        {
            return true;
        }
        outline.children(index).any(|child| {
            let inner = outline.element(child);
            let text = || outline.text_of(child);
            match (&*inner.namespace, inner.name) {
                (RPID, "class") => {
                    text().is_some_and(|class| selectors.contains(&Selector::Class(class)))
                }
                (DATA_MODEL, "deviceID") => text()
                    .is_some_and(|id| selectors.contains(&Selector::DeviceId(canonical_uri(&id)))),
                (PIDF, "contact") => text().is_some_and(|uri| {
                    selectors.contains(&Selector::ServiceUri(canonical_uri(&uri)))
                        || scheme_of(&uri).is_some_and(|scheme| {
                            selectors.contains(&Selector::ServiceUriScheme(scheme))
                        })
                }),
                (OMA_PRESENCE, "service-description") => outline
                    .children(child)
                    .filter(|part| outline.element(*part).is(OMA_PRESENCE, "service-id"))
                    .filter_map(|part| outline.text_of(part))
                    .any(|id| selectors.contains(&Selector::ServiceId(id))),
                _ => false,
            }
        })
    }
}

/// What happens to an element.
#[derive(PartialEq, Eq, Clone, Copy)]
enum Treatment {
    Hidden,
    Whole,
    Filtered(Part),
    UserInput(UserInput),
}

/// The elements that are looked into.
#[derive(PartialEq, Eq, Clone, Copy)]
enum Part {
    Presence,
    Tuple,
    Person,
    Device,
    Status,
}

impl Part {
    /// Attributes of XML that the specifications know; others might tell anything.
    fn keeps_xml_attribute(self, name: &str) -> bool {
        is_declaration(name)
            || name.starts_with("xml:")
            || match self {
                Self::Presence => name == "entity",
                Self::Tuple | Self::Person | Self::Device => name == "id",
                Self::Status => false,
            }
    }
}

fn is_declaration(name: &str) -> bool {
    name == "xmlns" || name.starts_with("xmlns:")
}

/// Copies a start tag, without the attributes that are not to be kept.
fn push_tag(
    out: &mut String,
    outline: &Outline<'_>,
    element: &Element<'_>,
    keep: impl Fn(&str) -> bool,
) {
    let text = &outline.text()[element.start..element.open_end];
    let tag: &StartTag<'_> = &element.tag;
    if tag.attributes.iter().all(|attribute| keep(attribute.name)) {
        out.push_str(text);
        return;
    }
    out.push_str(&text[..tag.name.end]);
    for attribute in tag
        .attributes
        .iter()
        .filter(|attribute| keep(attribute.name))
    {
        out.push(' ');
        out.push_str(attribute.name);
        out.push('=');
        out.push_str(attribute.quoted);
    }
    out.push_str(if text.ends_with("/>") { "/>" } else { ">" });
}

fn push_blank(out: &mut String, gap: &str) {
    if gap.bytes().all(|b| b" \t\r\n".contains(&b)) {
        out.push_str(gap);
    }
}
