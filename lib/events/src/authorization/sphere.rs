//! The sphere that a presentity says to be in (RFC 4480 section 3.11), for the condition of RFC 4745 section 7.3.

use super::moment::Moment;
use super::outline::Outline;
use super::{DATA_MODEL, PIDF, RPID};

/// The sphere that a merged document tells at a moment: `work`, `home`, or a text of the presentity's own.
///
/// Nothing if there is none, if it is said to be unknown, or if several are told (RFC 5025 section 3.1.2).
pub fn sphere_of(document: &[u8], now: Moment) -> Option<String> {
    let outline = Outline::scan(std::str::from_utf8(document).ok()?)?;
    if !outline.element(0).is(PIDF, "presence") {
        return None;
    }
    let mut sphere: Option<String> = None;
    for component in outline.children(0) {
        let holder = outline.element(component);
        if !holder.is(DATA_MODEL, "person") && !holder.is(PIDF, "tuple") {
            continue;
        }
        for child in outline.children(component) {
            if !outline.element(child).is(RPID, "sphere") || !is_current(&outline, child, now) {
                continue;
            }
            let told = told(&outline, child)?;
            // The condition does not tell them apart by case either.
            if sphere
                .as_ref()
                .is_some_and(|sphere| !sphere.eq_ignore_ascii_case(&told))
            {
                return None;
            }
            sphere = Some(told);
        }
    }
    sphere
}

/// The name of the element inside, or the text.
fn told(outline: &Outline<'_>, index: usize) -> Option<String> {
    let mut inside = outline.children(index);
    let told = match (inside.next(), inside.next()) {
        (Some(only), None) if outline.element(only).namespace == RPID => {
            outline.element(only).name.to_owned()
        }
        (None, _) => outline.text_of(index)?,
        _ => return None,
    };
    (!told.is_empty() && told != "unknown").then_some(told)
}

/// Whether its `from` and `until` do not exclude the moment. A time that cannot be read excludes every moment.
fn is_current(outline: &Outline<'_>, index: usize, now: Moment) -> bool {
    let element = outline.element(index);
    let bound = |name| element.attribute(name).map(|value| Moment::parse(&value));
    let has_begun = bound("from").is_none_or(|from| from.is_some_and(|from| from <= now));
    has_begun && bound("until").is_none_or(|until| until.is_some_and(|until| now < until))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_sphere_or_that_it_is_not_known() {
        for (inside, expected) in [
            ("", None),
            (
                "<dm:person id='p'><r:sphere>work</r:sphere></dm:person>",
                Some("work"),
            ),
            (
                "<dm:person id='p'><r:sphere><r:home/></r:sphere></dm:person>",
                Some("home"),
            ),
            (
                "<tuple id='t'><r:sphere> bowling league </r:sphere></tuple>",
                Some("bowling league"),
            ),
            (
                "<dm:person id='p'><r:sphere><r:unknown/></r:sphere></dm:person>",
                None,
            ),
            ("<dm:person id='p'><r:sphere/></dm:person>", None),
            (
                "<dm:person id='p'><x:sphere>work</x:sphere></dm:person>",
                None,
            ),
            (
                "<dm:person id='p'><r:sphere><r:work/><r:home/></r:sphere></dm:person>",
                None,
            ),
            (
                "<dm:device id='p'><r:sphere>work</r:sphere></dm:device>",
                None,
            ),
            (
                "<dm:person id='p'><r:sphere>work</r:sphere></dm:person><dm:person id='q'><r:sphere><r:work/></r:sphere></dm:person>",
                Some("work"),
            ),
            (
                "<dm:person id='p'><r:sphere>Work</r:sphere></dm:person><dm:person id='q'><r:sphere>work</r:sphere></dm:person>",
                Some("work"),
            ),
            (
                "<dm:person id='p'><r:sphere>work</r:sphere></dm:person><dm:person id='q'><r:sphere>home</r:sphere></dm:person>",
                None,
            ),
            (
                "<dm:person id='p'><r:sphere until='1970-01-01T00:00:10Z'>work</r:sphere></dm:person>",
                None,
            ),
            (
                "<dm:person id='p'><r:sphere from='1970-01-01T00:00:10Z' until='1970-01-01T00:00:11Z'>work</r:sphere></dm:person>",
                Some("work"),
            ),
            (
                "<dm:person id='p'><r:sphere from='yesterday'>work</r:sphere></dm:person>",
                None,
            ),
        ] {
            let document = format!(
                "<presence xmlns='{PIDF}' xmlns:dm='{DATA_MODEL}' xmlns:r='{RPID}' xmlns:x='urn:x'>{inside}</presence>"
            );
            let found = sphere_of(document.as_bytes(), Moment::from_epoch_us(10_000_000));
            assert_eq!(found.as_deref(), expected, "{inside}");
        }
        assert_eq!(sphere_of(b"<presence>", Moment::from_epoch_us(0)), None);
    }
}
