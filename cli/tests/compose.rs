//! `docker-compose.yml`, without containers: its parts fit together, and the very commands of its services, with their
//! environment, come up against a PostgreSQL of our own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program::{Program, pgpresence};
use postgres_dev::Cluster;
use yaml_rust2::{Yaml, YamlLoader};

/// What of a service matters here; merge keys (`<<`) are followed.
#[derive(Debug)]
struct Service {
    name: String,
    command: Vec<String>,
    environment: Vec<(String, String)>,
    depends_on: Vec<String>,
    address: Option<String>,
    image: String,
    is_built: bool,
    volumes: Vec<String>,
    ports: Vec<String>,
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn services() -> Vec<Service> {
    let text = std::fs::read_to_string(repository().join("docker-compose.yml")).unwrap();
    let documents = YamlLoader::load_from_str(&text).expect("docker-compose.yml is YAML");
    assert_eq!(documents.len(), 1);
    let services = documents[0]["services"].as_hash().expect("services");
    services
        .iter()
        .map(|(name, fields)| service(string(name), fields))
        .collect()
}

fn service(name: String, fields: &Yaml) -> Service {
    let fields = merged(fields);
    let list = |key: &str| -> Vec<String> {
        fields
            .get(key)
            .and_then(Yaml::as_vec)
            .map(|list| list.iter().map(string).collect())
            .unwrap_or_default()
    };
    let environment = fields.get("environment").map(|map| merged(map).into_iter());
    let networks = fields.get("networks").and_then(Yaml::as_hash);
    let depends_on = match fields.get("depends_on") {
        Some(Yaml::Hash(map)) => map.keys().map(string).collect(),
        _ => list("depends_on"),
    };
    let address = networks.and_then(|networks| {
        networks
            .values()
            .find_map(|network| network["ipv4_address"].as_str())
    });
    Service {
        command: list("command"),
        environment: environment
            .into_iter()
            .flatten()
            .map(|(name, value)| (name, string(&value)))
            .collect(),
        depends_on,
        address: address.map(str::to_owned),
        image: fields.get("image").map(string).unwrap_or_default(),
        is_built: fields.contains_key("build"),
        volumes: list("volumes"),
        ports: list("ports"),
        name,
    }
}

/// A mapping with what its merge key brings; its own keys win.
fn merged(map: &Yaml) -> BTreeMap<String, Yaml> {
    let map = map.as_hash().expect("a mapping");
    let mut fields = BTreeMap::new();
    for (_, base) in map.iter().filter(|(key, _)| key.as_str() == Some("<<")) {
        fields.extend(merged(base));
    }
    fields.extend(
        map.iter()
            .filter(|(key, _)| key.as_str() != Some("<<"))
            .map(|(key, value)| (string(key), value.clone())),
    );
    fields
}

fn string(value: &Yaml) -> String {
    match value {
        Yaml::String(text) => text.clone(),
        Yaml::Integer(number) => number.to_string(),
        Yaml::Boolean(flag) => flag.to_string(),
        other => panic!("not a plain value: {other:?}"),
    }
}

/// The services that run our own program as `command`.
fn running<'a>(services: &'a [Service], command: &str) -> Vec<&'a Service> {
    services
        .iter()
        .filter(|service| {
            service
                .command
                .first()
                .is_some_and(|first| first == command)
        })
        .collect()
}

fn named<'a>(services: &'a [Service], name: &str) -> &'a Service {
    services
        .iter()
        .find(|service| service.name == name)
        .unwrap_or_else(|| panic!("no service {name}"))
}

#[test]
fn the_parts_of_the_stack_fit_together() {
    let services = services();
    assert_eq!(running(&services, "migrate").len(), 1);
    assert_eq!(
        (
            running(&services, "server").len(),
            running(&services, "notifier").len()
        ),
        (2, 2)
    );
    let postgres = named(&services, "postgres");
    let version: u32 = postgres
        .image
        .strip_prefix("postgres:")
        .unwrap()
        .parse()
        .unwrap();
    assert!(version >= 15);

    for service in &services {
        for other in &service.depends_on {
            named(&services, other);
        }
        for volume in service
            .volumes
            .iter()
            .filter(|volume| volume.starts_with("./"))
        {
            let file = volume.split(':').next().unwrap();
            assert!(
                repository().join(file).exists(),
                "{}: {file} is missing",
                service.name
            );
        }
        if service.is_built {
            assert!(
                service
                    .environment
                    .iter()
                    .any(|(name, _)| name == "PGPRESENCE_PRESENCE__DB_URL")
            );
        }
    }
    // Everybody talks to the database that the stack has.
    let of_postgres: BTreeMap<&str, &str> = postgres
        .environment
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();
    let (user, password, database) = (
        of_postgres["POSTGRES_USER"],
        of_postgres["POSTGRES_PASSWORD"],
        of_postgres["POSTGRES_DB"],
    );
    let url = format!(
        "postgres://{user}:{password}@{}:5432/{database}",
        postgres.address.as_ref().unwrap()
    );
    for service in services.iter().filter(|service| service.is_built) {
        assert!(
            service
                .environment
                .contains(&("PGPRESENCE_PRESENCE__DB_URL".to_owned(), url.clone())),
            "{}",
            service.name
        );
    }
    // The edge spreads over exactly the addresses on which the servers listen, and phones come back to the edge.
    let edge = named(&services, "edge");
    let contact = format!("sip:{}:5060", edge.address.as_ref().unwrap());
    let balancer = edge.volumes[0].split(':').next().unwrap();
    let balancer = std::fs::read_to_string(repository().join(balancer)).unwrap();
    for server in running(&services, "server") {
        let address = server.address.as_ref().unwrap();
        for transport in ["udp", "tcp"] {
            assert!(
                server
                    .command
                    .contains(&format!("{transport}:{address}:5060")),
                "{}",
                server.name
            );
        }
        assert_eq!(
            balancer.matches(&format!("server {address}:5060;")).count(),
            2,
            "{}",
            server.name
        );
        assert!(server.environment.contains(&(
            "PGPRESENCE_PRESENCE__SERVER_ADDRESS".to_owned(),
            contact.clone()
        )));
    }
    assert_eq!(balancer.matches(":5060;").count(), 4);
    assert_eq!(edge.ports, ["5060:5060/udp", "5060:5060/tcp"]);
}

#[test]
fn the_image_holds_the_program() {
    let text = std::fs::read_to_string(repository().join("Dockerfile")).unwrap();
    for part in [
        "cargo build --release --locked -p pgpresence",
        "/usr/local/bin/pgpresence",
        "ENTRYPOINT [\"pgpresence\"]",
    ] {
        assert!(text.contains(part), "{part}");
    }
    let toolchain = text
        .lines()
        .find_map(|line| line.strip_prefix("FROM rust:"))
        .unwrap();
    assert!(
        toolchain.starts_with(env!("CARGO_PKG_RUST_VERSION")),
        "{toolchain}"
    );
}

#[test]
fn the_commands_of_the_services_come_up() {
    let services = services();
    let cluster = Cluster::start_throwaway().unwrap();
    cluster.create_database("pgpresence").unwrap();

    let migrate = running(&services, "migrate")[0];
    let status = outside(migrate, &services, &cluster).status().unwrap();
    assert_eq!(status.code(), Some(0));

    let mut programs: Vec<Program> = Vec::new();
    for service in ["server", "notifier"]
        .iter()
        .flat_map(|command| running(&services, command))
    {
        let mut program = Program::start(&mut outside(service, &services, &cluster));
        program.line("ready");
        programs.push(program);
    }
    for program in &mut programs {
        program.signal("TERM"); // what `docker compose stop` sends
        assert_eq!(program.end(), Some(0), "{:#?}", program.seen);
    }
}

/// The service's command and environment, with the stack's addresses replaced by ours.
fn outside(service: &Service, services: &[Service], cluster: &Cluster) -> Command {
    let ours = |text: &str| {
        if text.starts_with("postgres://") {
            return cluster.url("pgpresence");
        }
        let own = service.address.as_ref();
        let text = own.map_or(text.to_owned(), |own| {
            text.replace(&format!("{own}:5060"), "127.0.0.1:0")
        });
        let foreign = services
            .iter()
            .filter_map(|service| service.address.as_ref());
        foreign.fold(text, |text, address| {
            text.replace(address.as_str(), "127.0.0.1")
        })
    };
    let arguments: Vec<String> = service
        .command
        .iter()
        .map(|argument| ours(argument))
        .collect();
    let mut command = pgpresence(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    command.envs(
        service
            .environment
            .iter()
            .map(|(name, value)| (name, ours(value))),
    );
    command
}
