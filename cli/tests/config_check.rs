//! `config check`: nothing that is wrong is taken in silence.

use crate::program::{Directory, output};

/// A wrong value of each parameter of Kamailio's presence module.
const WRONG: [(&str, &str); 37] = [
    ("db_url", "mysql://u@h/d"),
    ("presentity_table", "1st"),
    ("active_watchers_table", "a.b.c"),
    ("watchers_table", "two words"),
    ("clean_period", "often"),
    ("cseq_offset", "-1"),
    ("db_update_period", "never"),
    ("waitn_time", "3601"),
    ("notifier_poll_rate", "0"),
    ("notifier_processes", "-1"),
    ("force_delete", "2"),
    ("startup_mode", "2"),
    ("expires_offset", "3600"),
    ("max_expires", "0"),
    ("min_expires", "7200"),
    ("min_expires_action", "3"),
    ("server_address", "sip:@"),
    ("subs_db_mode", "7"),
    ("publ_cache", "3"),
    ("subs_htable_size", "-5"),
    ("pres_htable_size", "99"),
    ("send_fast_notify", "2"),
    ("enable_sphere_check", "2"),
    ("timeout_rm_subs", "2"),
    ("fetch_rows", "0"),
    ("db_table_lock_type", "2"),
    ("local_log_level", "4"),
    ("local_log_facility", "LOG_X"),
    ("subs_remove_match", "2"),
    ("xavp_cfg", "a b;c"),
    ("retrieve_order", "2"),
    ("retrieve_order_by", "size"),
    ("sip_uri_match", "2"),
    ("enable_dmq", "2"),
    ("pres_subs_mode", "2"),
    ("delete_same_subs", "3"),
    ("timer_mode", "5"),
];

#[test]
fn a_wrong_value_of_each_parameter_is_told() {
    let others = [
        ("xcapauth_userdel_reason", "a\r\nX: y"),
        ("presence_single_body_lookup_element", "rpid:mood"),
        ("default_policy", "maybe"),
        ("winfo_watchers", "sip:@"),
        ("watcher_waiting_s", "0"),
        ("default_expires", "0"),
    ];
    for (name, value) in WRONG.into_iter().chain(others) {
        let set = format!("presence.{name}={value}");
        let (code, said, errors) = output(&["config", "check", "--set", &set]);
        assert_eq!((code, said.as_str()), (Some(2), ""), "{set}: {errors}");
        let path = format!("presence.{name}: ");
        assert!(
            errors.lines().count() == 1 && errors.contains(&path),
            "{set}: {errors}"
        );
    }
    let (code, _, errors) = output(&[
        "config",
        "check",
        "--set",
        "presence.subs_db_mode=7",
        "--set",
        "presence.publ_cache=3",
    ]);
    assert_eq!(code, Some(2));
    for part in [
        "presence.subs_db_mode: must be 0 to 3, not 7",
        "presence.publ_cache: must be 0 to 2, not 3",
    ] {
        assert!(errors.contains(part), "{part}: {errors}");
    }
}

/// Lua takes a misspelt name without a word: this is told, with its line, and stops nothing.
#[test]
fn what_a_script_never_calls_is_told() {
    let directory = Directory::new();
    let file = directory.join("route.lua");
    let set = format!("script.file={}", file.display());
    for (source, sentence) in [
        (
            "\nfunction rout(request)\n  handle_publish()\nend\n",
            "route.lua:2: function rout is never called",
        ),
        (
            "function route() end\nevent_route[\"presence:notify_reply\"] = function() end\n",
            "route.lua:2: event_route[\"presence:notify_reply\"] is never called",
        ),
        (
            "-- nothing yet\n",
            "route.lua: nothing in it is ever called",
        ),
        ("function route() end\n", ""),
    ] {
        std::fs::write(&file, source).unwrap();
        let (code, said, errors) = output(&["config", "check", "--set", &set]);
        assert_eq!(
            (code, said.as_str()),
            (Some(0), "the configuration is valid\n"),
            "{errors}"
        );
        match sentence {
            "" => assert_eq!(errors, "", "{source}"),
            sentence => assert!(
                errors.lines().count() == 1
                    && errors.contains("script.file: ")
                    && errors.contains(sentence),
                "{errors}"
            ),
        }
    }
}
