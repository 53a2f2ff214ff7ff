//! What the OpenAPI description says of all operations together. What it says of one stands beside its handler, and of a type beside the type.

use std::collections::BTreeMap;

use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Content, Ref, RefOr, Required, Response, ResponseBuilder, ResponsesBuilder};
use utoipa::{IntoResponses, Modify, OpenApi, PartialSchema, ToResponse, ToSchema};

use crate::problem::Members;
use crate::v1::events::Event;

/// The description, but for the paths.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "pgpresence",
        version = "1",
        description = "Presence for programs without SIP: set, read and watch what SIP phones are shown. What is published here passes the checks of a SIP PUBLISH and reaches watchers in the same way. docs/HTTP.md explains it with examples; docs/RPC.md has the commands of /RPC.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    servers((url = "/")),
    tags((name = "presentities"), (name = "service")),
    security(("token" = []), ()),
    components(
        schemas(Members, Event),
        responses(
            BadRequest,
            Unauthorized,
            ForeignHost,
            NotFound,
            MethodNotAllowed,
            NotAcceptable,
            SlowBody,
            PreconditionFailed,
            TooLarge,
            UnsupportedMediaType,
            BodyRefused,
            Unavailable,
        ),
    ),
    modifiers(&Beyond),
)]
pub(crate) struct Described;

/// What the macro has no words for.
struct Beyond;

impl Modify for Beyond {
    fn modify(&self, described: &mut utoipa::openapi::OpenApi) {
        described.info.contact = None;
        let mut token = Http::new(HttpAuthScheme::Bearer);
        token.description =
            Some("http.token. Without a configured token only this machine is served. A client with the token can read everything and publish for every presentity.".to_owned());
        let components = described.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(token));
    }
}

/// HEAD of what has this GET.
pub(crate) fn head_of(get: &Operation) -> Operation {
    let mut head = get.clone();
    let name = get.operation_id.as_deref().unwrap_or_default();
    head.operation_id = Some(format!("{name}Head"));
    let summary = get.summary.as_deref().unwrap_or_default();
    head.summary = Some(format!("{summary} Without the body."));
    let answer = Response::new("As of GET, without the body.");
    head.responses = ResponsesBuilder::new().response("default", answer).build();
    head
}

/// A header that a request may have.
pub(crate) fn header(name: &str, description: &str, schema: impl Into<RefOr<Schema>>) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema))
        .build()
}

/// The schema of a text.
pub(crate) fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// The schema of a whole number that a publication's lifetime can be.
pub(crate) fn lifetime() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(1))
        .maximum(Some(u32::MAX))
}

/// A document, in the requests that bring one and the answers that have one.
pub(crate) enum AnyDocument {}

impl PartialSchema for AnyDocument {
    fn schema() -> RefOr<Schema> {
        let schema = text().description(Some("The document, of the event package's type."));
        schema.into()
    }
}

impl ToSchema for AnyDocument {}

/// What JSON-RPC sends and is answered: one, or a batch.
pub(crate) enum OneOrMany {}

impl PartialSchema for OneOrMany {
    fn schema() -> RefOr<Schema> {
        let types = SchemaType::from_iter([Type::Object, Type::Array]);
        ObjectBuilder::new().schema_type(types).into()
    }
}

impl ToSchema for OneOrMany {}

/// Problems that several operations answer with, by their names among the components.
macro_rules! problems {
    ($($name:ident: $description:literal,)*) => {$(
        pub(crate) enum $name {}

        impl<'r> ToResponse<'r> for $name {
            fn response() -> (&'r str, RefOr<Response>) {
                let content = Content::new(Some(Ref::from_schema_name(Members::name())));
                let response = ResponseBuilder::new()
                    .description($description)
                    .content("application/problem+json", content);
                (stringify!($name), response.build().into())
            }
        }
    )*};
}

problems! {
    BadRequest: "bad-request, interval-too-brief, unsupported-scheme: a part of the request is not valid.",
    Unauthorized: "unauthorized: the token is missing or wrong.",
    ForeignHost: "No token is configured, and: foreign-host: Host is not an address or localhost; foreign-origin: Origin is another web page's; forwarded: the request came through a proxy.",
    NotFound: "unknown-event, nothing-published.",
    MethodNotAllowed: "method-not-allowed; Allow lists the allowed methods.",
    NotAcceptable: "not-acceptable: Accept does not allow the type.",
    SlowBody: "slow-body: the body did not arrive within 10 s.",
    PreconditionFailed: "precondition-failed: nothing was changed.",
    TooLarge: "too-large.",
    UnsupportedMediaType: "unsupported-media-type, unsupported-encoding.",
    BodyRefused: "body-refused: the document cannot be sent to watchers of this event package.",
    Unavailable: "unavailable: the database does not answer, or too much is asked at once; Retry-After says when to try again.",
}

/// What whatever is not for everybody may be answered.
pub(crate) enum Guarded {}

impl IntoResponses for Guarded {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        fn named<'r, R: ToResponse<'r>>(status: &str) -> (String, RefOr<Response>) {
            let name = R::response().0;
            (status.to_owned(), Ref::from_response_name(name).into())
        }
        BTreeMap::from([
            named::<Unauthorized>("401"),
            named::<ForeignHost>("403"),
            named::<Unavailable>("503"),
        ])
    }
}
