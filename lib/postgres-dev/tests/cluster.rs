//! Real clusters, started, killed and left behind on purpose.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use postgres_dev::{Cluster, Error, Saved};

fn psql(cluster: &Cluster, sql: &str) -> Result<String, String> {
    let output = Command::new(cluster.binaries().join("psql"))
        .args([
            "-X",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-c",
            sql,
            &cluster.url("postgres"),
        ])
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stderr))
    }
}

fn is_alive(pid: u32) -> bool {
    let state = Command::new("ps")
        .args(["-o", "state=", "-p", &pid.to_string()])
        .output()
        .unwrap()
        .stdout;
    !state.is_empty() && !state.starts_with(b"Z")
}

/// Polls, because what we wait for happens in processes that are not our children.
fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < end, "not within 20 s: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn throwaway_clusters_run_side_by_side_and_leave_nothing() {
    let (one, two) = (
        Cluster::start_throwaway().unwrap(),
        Cluster::start_throwaway().unwrap(),
    );
    psql(&one, "CREATE TABLE here (id int)").unwrap();
    assert!(
        psql(&two, "SELECT * FROM here")
            .unwrap_err()
            .contains("does not exist")
    );

    one.create_database("blue's print").unwrap();
    one.create_from_template("copy", "blue's print").unwrap();
    assert!(one.has_database("copy").unwrap() && one.has_database("blue's print").unwrap());
    assert!(!two.has_database("copy").unwrap());
    one.drop_database("copy").unwrap();
    assert!(!one.has_database("copy").unwrap());
    assert!(matches!(
        one.create_database("postgres"),
        Err(Error::ProgramFailed { .. })
    ));

    let left: Vec<(u32, PathBuf)> = [&one, &two]
        .map(|c| (c.postmaster_pid(), c.log_path().to_owned()))
        .into();
    drop((one, two));
    for (pid, log) in left {
        assert!(!is_alive(pid), "PostgreSQL {pid} is still there");
        assert!(
            !log.parent().unwrap().exists(),
            "{} is still there",
            log.display()
        );
    }
}

#[test]
fn measured_clusters_are_durable_and_leave_nothing() {
    let parent = tempfile::tempdir_in("/tmp").unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(parent.path(), open).unwrap();
    let settings = ["work_mem=7MB".to_owned()];
    let cluster = Cluster::start_measured(parent.path(), &settings).unwrap();
    for (setting, value) in [
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("synchronous_commit", "on"),
        ("work_mem", "7MB"),
    ] {
        assert_eq!(
            psql(&cluster, &format!("SHOW {setting}")).unwrap(),
            value,
            "{setting}"
        );
    }
    assert!(cluster.log_path().starts_with(parent.path()));
    let pid = cluster.postmaster_pid();
    drop(cluster);
    assert!(!is_alive(pid));
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);

    let deep = parent.path().join("d".repeat(100));
    fs::create_dir(&deep).unwrap();
    Cluster::start_measured(&deep, &[]).unwrap_err();
    assert_eq!(fs::read_dir(&deep).unwrap().count(), 0);
}

#[test]
fn deadlocks_and_statements_can_be_seen() {
    let cluster = Cluster::start_throwaway().unwrap();
    assert_eq!(psql(&cluster, "SHOW log_lock_waits").unwrap(), "on");
    assert_eq!(psql(&cluster, "SHOW listen_addresses").unwrap(), "");
    if psql(&cluster, "SHOW shared_preload_libraries").unwrap() == "pg_stat_statements" {
        psql(&cluster, "CREATE EXTENSION pg_stat_statements").unwrap();
    }
    psql(&cluster, "SELECT 1/0").unwrap_err();
    assert!(
        fs::read_to_string(cluster.log_path())
            .unwrap()
            .contains("division by zero")
    );
}

#[test]
fn acknowledged_rows_survive_kill_9_of_all_postgres_processes() {
    let mut cluster = Cluster::start_throwaway().unwrap();
    psql(&cluster, "CREATE TABLE kept (id int)").unwrap();
    for round in 1..=3 {
        psql(&cluster, "INSERT INTO kept VALUES (1)").unwrap();
        cluster.kill9();
        assert_eq!((cluster.postmaster_pid(), cluster.is_running()), (0, false));
        psql(&cluster, "SELECT 1").unwrap_err();
        cluster.restart().unwrap();
        assert_eq!(
            psql(&cluster, "SELECT count(*) FROM kept").unwrap(),
            round.to_string()
        );
    }
    cluster.restart().unwrap(); // while it runs
    assert!(cluster.is_running());
    let killed = Command::new("kill")
        .args(["-9", &cluster.postmaster_pid().to_string()])
        .status();
    assert!(killed.unwrap().success());
    eventually("the postmaster is gone", || !cluster.is_running());
    eventually("its children are gone, too", || cluster.restart().is_ok());
    let url = cluster.url("postgres");
    assert_eq!(psql(&cluster, "SELECT count(*) FROM kept").unwrap(), "3");
    cluster.kill9();
    assert_eq!(cluster.url("postgres"), url);
    let root = cluster.log_path().parent().unwrap().to_owned();
    drop(cluster);
    assert!(!root.exists());
}

#[test]
fn a_kept_cluster_keeps_its_data_and_has_one_owner() {
    let dir = directory_for_kept("kept");
    let cluster = Cluster::start_kept(&dir.0).unwrap();
    assert_eq!(psql(&cluster, "SHOW fsync").unwrap(), "on");
    cluster.create_database("lasting").unwrap();
    assert!(matches!(
        Cluster::start_kept(&dir.0),
        Err(Error::InUse { .. })
    ));
    let (url, pid) = (cluster.url("lasting"), cluster.postmaster_pid());
    cluster.stop();
    assert!(!is_alive(pid));

    let cluster = Cluster::start_kept(&dir.0).unwrap();
    assert_eq!(cluster.url("lasting"), url);
    assert!(cluster.has_database("lasting").unwrap());
    // Killed, and its number taken by another process of the same user meanwhile, here by ourselves.
    cluster.kill9();
    drop(cluster);
    let pid_file = dir.0.join("postgres/postmaster.pid");
    let text = fs::read_to_string(&pid_file).unwrap();
    let rest = text.split_once('\n').unwrap().1;
    fs::write(&pid_file, format!("{}\n{rest}", std::process::id())).unwrap();
    let cluster = Cluster::start_kept(&dir.0).unwrap();
    assert!(cluster.has_database("lasting").unwrap());
    cluster.stop();

    fs::write(dir.0.join("postgres/PG_VERSION"), "9.6\n").unwrap();
    let error = Cluster::start_kept(&dir.0).unwrap_err();
    assert!(
        error.to_string().contains("was made by PostgreSQL 9.6"),
        "{error}"
    );
}

#[test]
fn a_deep_data_directory_gets_a_short_socket_path() {
    let dir = directory_for_kept("deep");
    let deep = dir.0.join("d".repeat(100));
    let cluster = Cluster::start_kept(&deep).unwrap();
    assert_eq!(psql(&cluster, "SELECT 1").unwrap(), "1");
    let socket_dir = psql(&cluster, "SHOW unix_socket_directories").unwrap();
    assert!(
        !socket_dir.starts_with(dir.0.to_str().unwrap()),
        "{socket_dir}"
    );
    cluster.stop();
    assert!(!Path::new(&socket_dir).exists());
}

#[test]
fn nothing_outlives_an_owner_that_is_killed_with_9() {
    let kept_dir = directory_for_kept("orphan");
    for kind in ["throwaway", "kept"] {
        let mut owner = start_owner(kind, &kept_dir.0);
        let lines = BufReader::new(owner.stdout.take().unwrap()).lines();
        let started = lines
            .map(Result::unwrap)
            .find_map(|line| line.split_once("cluster ").map(|(_, s)| s.to_owned()));
        let started = started.expect("the owner has started a cluster");
        let (pid, log) = started.split_once(' ').unwrap();
        let (pid, root) = (pid.parse().unwrap(), Path::new(log).parent().unwrap());
        assert!(is_alive(pid) && root.exists());
        owner.kill().unwrap(); // SIGKILL
        owner.wait().unwrap();
        if kind == "kept" {
            // The next owner waits for the rest of the previous one, and finds a cluster that was shut down in order.
            let next = Cluster::start_kept(&kept_dir.0).unwrap();
            assert!(!is_alive(pid));
            assert!(
                !fs::read_to_string(next.log_path())
                    .unwrap()
                    .contains("was not properly shut down")
            );
        } else {
            eventually("PostgreSQL is gone", || !is_alive(pid));
            eventually("the files are gone", || !root.exists());
        }
    }
}

/// This test program again, as a process that starts a cluster and then does nothing.
fn start_owner(kind: &str, dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "owner_of_a_cluster", "--ignored", "--nocapture"])
        .env("POSTGRES_DEV_TEST_OWNER", kind)
        .env("POSTGRES_DEV_TEST_DIR", dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Many ask at once, as the processes of a test run do; then an input changes.
#[test]
fn a_saved_cluster_is_made_once_for_all_and_anew_when_an_input_changes() {
    let inputs = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let migrations = inputs.path().join("migrations");
    fs::create_dir(&migrations).unwrap();
    let migration = migrations.join("V1__one.sql");
    let saved = Saved {
        folder: folder.path(),
        name: "test",
        inputs: inputs.path(),
    };
    let copies = |input: &str| {
        fs::write(&migration, input).unwrap();
        let made = AtomicU32::new(0);
        let start = || {
            Cluster::start_copy(saved, |cluster| {
                made.fetch_add(1, Ordering::Relaxed);
                psql(
                    cluster,
                    &format!("CREATE TABLE made_of AS SELECT '{input}' AS input"),
                )
                .unwrap();
            })
        };
        let copies: Vec<Cluster> = std::thread::scope(|scope| {
            let starting: Vec<_> = (0..3).map(|_| scope.spawn(start)).collect();
            let started = starting
                .into_iter()
                .map(|start| start.join().unwrap().unwrap());
            started.collect()
        });
        (made.into_inner(), copies)
    };

    let (made, first) = copies("one");
    assert_eq!(made, 1);
    psql(&first[0], "INSERT INTO made_of VALUES ('by hand')").unwrap();
    let content =
        |cluster: &Cluster| psql(cluster, "SELECT string_agg(input, ',') FROM made_of").unwrap();
    assert_eq!(content(&first[0]), "one,by hand");
    assert_eq!(content(&first[1]), "one", "a copy is nobody else's");
    drop(first);

    let (made, again) = copies("one");
    assert_eq!((made, content(&again[2]).as_str()), (0, "one"));
    let (made, changed) = copies("two");
    assert_eq!((made, content(&changed[0]).as_str()), (1, "two"));
    let kept = fs::read_dir(folder.path()).unwrap();
    assert_eq!(kept.count(), 2, "the newest and its lock");
}

/// A copy that was interrupted, or a maker that failed, is not taken for a saved cluster.
#[test]
fn what_was_saved_in_part_is_saved_again() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = tempfile::tempdir().unwrap();
    let saved = Saved {
        folder: folder.path(),
        name: "test",
        inputs: inputs.path(),
    };
    let failing = || Cluster::start_copy(saved, |_| panic!("no migration"));
    std::thread::scope(|scope| scope.spawn(|| failing().unwrap()).join().unwrap_err());
    let make = |cluster: &Cluster| drop(psql(cluster, "CREATE TABLE whole ()").unwrap());
    let whole = Cluster::start_copy(saved, make).unwrap();
    psql(&whole, "TABLE whole").unwrap();
    let made = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let made = made.into_iter().find(|path| path.is_dir()).unwrap();
    fs::rename(&made, made.with_extension("new")).unwrap(); // killed between the copy and its name
    psql(&Cluster::start_copy(saved, make).unwrap(), "TABLE whole").unwrap();
}

#[test]
#[ignore = "started by the test above, in a process of its own"]
fn owner_of_a_cluster() {
    let Ok(kind) = std::env::var("POSTGRES_DEV_TEST_OWNER") else {
        return;
    };
    let cluster = match kind.as_str() {
        "kept" => Cluster::start_kept(Path::new(&std::env::var("POSTGRES_DEV_TEST_DIR").unwrap())),
        _ => Cluster::start_throwaway(),
    };
    let cluster = cluster.unwrap();
    println!(
        "cluster {} {}",
        cluster.postmaster_pid(),
        cluster.log_path().display()
    );
    loop {
        std::thread::park();
    }
}

/// A directory that PostgreSQL's account can reach; removed at the end.
struct Directory(
    PathBuf,
    #[expect(dead_code, reason = "removes the directory when dropped")] tempfile::TempDir,
);

fn directory_for_kept(name: &str) -> Directory {
    use std::os::unix::fs::PermissionsExt;
    let parent = tempfile::tempdir().unwrap();
    fs::set_permissions(parent.path(), fs::Permissions::from_mode(0o755)).unwrap();
    Directory(parent.path().join(name), parent)
}
