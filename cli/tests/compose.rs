//! `docker-compose.yml`, without containers: its parts fit together, and the very commands of its services, with their
//! environment, their accounts and their passwords, come up against a PostgreSQL of our own.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
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
    volumes: Vec<String>,
    ports: Vec<String>,
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// Which account each command comes with.
const ACCOUNTS: [(&str, &str); 4] = [
    ("migrate", "owner"),
    ("server", "front"),
    ("notifier", "engine"),
    ("status", "looker"),
];
const URL_FILE: &str = "PGPRESENCE_DATABASE__URL_FILE";

fn read(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap()
}

fn text() -> String {
    read("docker-compose.yml")
}

fn services() -> Vec<Service> {
    let documents = YamlLoader::load_from_str(&text()).expect("docker-compose.yml is YAML");
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
    }
    // Everybody finds the URL of an account of his own, and no password stands in the file.
    for (command, account) in ACCOUNTS {
        for service in running(&services, command) {
            let has = |name: &str, value: &str| {
                let wanted = (name.to_owned(), value.to_owned());
                service.environment.contains(&wanted)
            };
            assert!(has(URL_FILE, "/run/pgpresence/db_url"), "{}", service.name);
            assert_eq!(
                service.volumes,
                [format!("of-{account}:/run/pgpresence:ro")]
            );
        }
    }
    assert!(!text().contains("://"), "a URL");
    let script = read("deploy/compose/secrets.sh");
    let address = format!("{}:5432/", postgres.address.as_ref().unwrap());
    assert!(script.contains(&address));
    // The edge spreads over exactly the addresses on which the servers listen, and phones come back to the edge.
    let edge = named(&services, "edge");
    let address = edge.address.as_ref().unwrap();
    let contact = format!("sip:{address}:5060");
    let list = read("deploy/compose/dispatcher.list");
    let servers = running(&services, "server");
    for server in &servers {
        let address = server.address.as_ref().unwrap();
        for transport in ["udp", "tcp"] {
            let listen = format!("{transport}:{address}:5060");
            assert!(server.command.contains(&listen), "{}", server.name);
        }
        let line = format!("1 sip:{address}:5060");
        assert!(list.lines().any(|found| found == line), "{}", server.name);
        assert!(server.environment.contains(&(
            "PGPRESENCE_PRESENCE__SERVER_ADDRESS".to_owned(),
            contact.clone()
        )));
    }
    assert_eq!(list.lines().count(), servers.len());
    // What its command puts in place of the sample's values stands there, and two addresses are all that NOTIFYs are taken from.
    let command = edge.command.last().unwrap();
    let sample = read("deploy/kamailio-edge.cfg");
    for (found, ours) in [
        ("!192.0.2.10!", format!("!{address}!")),
        ("!10.0.0.0/24!", "!172.28.0.40/31!".to_owned()),
    ] {
        assert!(sample.contains(found), "{found}");
        assert!(command.contains(&format!("s,{found},{ours},")), "{command}");
    }
    let notifiers = running(&services, "notifier");
    let notifiers: Vec<Ipv4Addr> = notifiers
        .iter()
        .map(|notifier| notifier.address.as_ref().unwrap().parse().unwrap())
        .collect();
    let first = Ipv4Addr::new(172, 28, 0, 40).to_bits();
    assert!(
        notifiers
            .iter()
            .all(|address| address.to_bits() & !1 == first),
        "{notifiers:?}"
    );
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

/// With the passwords and accounts that the stack's own scripts make.
#[test]
fn the_commands_of_the_services_come_up() {
    let services = services();
    let cluster = Cluster::start_throwaway().unwrap();
    cluster.create_database("pgpresence").unwrap();
    let secrets = tempfile::tempdir().unwrap();
    let script = |name: &str| {
        let mut command = Command::new("sh");
        command.arg(repository().join("deploy/compose").join(name));
        command.env("SECRETS", secrets.path());
        command
    };
    assert!(script("secrets.sh").status().unwrap().success());
    let first = std::fs::read(secrets.path().join("front/db_url")).unwrap();
    // Started again, it makes no others.
    assert!(script("secrets.sh").status().unwrap().success());
    assert_eq!(
        std::fs::read(secrets.path().join("front/db_url")).unwrap(),
        first
    );
    let folder = cluster.log_path().parent().unwrap();
    let accounts = script("accounts.sh")
        .envs([("POSTGRES_USER", "postgres"), ("POSTGRES_DB", "pgpresence")])
        .env("PGHOST", folder)
        .status();
    assert!(accounts.unwrap().success());

    let outside = |service: &Service| outside(service, &services, &cluster, secrets.path());
    let migrate = running(&services, "migrate")[0];
    assert_eq!(outside(migrate).status().unwrap().code(), Some(0));

    let mut programs: Vec<Program> = Vec::new();
    for service in ["server", "notifier"]
        .iter()
        .flat_map(|command| running(&services, command))
    {
        let mut program = Program::start(&mut outside(service));
        program.line("ready");
        programs.push(program);
    }
    let status = outside(running(&services, "status")[0]).output().unwrap();
    let said = String::from_utf8_lossy(&status.stdout);
    assert!(
        status.status.success() && said.contains("notifier"),
        "{status:?}"
    );
    for program in &mut programs {
        program.signal("TERM"); // what `docker compose stop` sends
        assert_eq!(program.end(), Some(0), "{:#?}", program.seen);
    }
}

/// The service's command and environment, with the stack's addresses replaced by ours.
fn outside(service: &Service, services: &[Service], cluster: &Cluster, secrets: &Path) -> Command {
    let ours = |text: &str| {
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
    // The account's own URL, on the socket of the PostgreSQL that stands for the stack's.
    let volume = &service.volumes[0];
    let account = volume
        .strip_prefix("of-")
        .unwrap()
        .split(':')
        .next()
        .unwrap();
    let url = std::fs::read_to_string(secrets.join(account).join("db_url")).unwrap();
    let (login, _) = url.split_once('@').unwrap();
    let socket = cluster.url("pgpresence").replace("&user=postgres", "");
    let url = socket.replace("postgresql://", &format!("{login}@"));
    let file = secrets.join(format!("url of {}", service.name));
    std::fs::write(&file, url).unwrap();
    command.env(URL_FILE, &file);
    command
}
