//! What is a table's name in a piece of SQL, and what only looks like one.

use tables::{DEFAULT_NAMES, Tables};

fn renamed() -> Tables {
    Tables::new("p", "s.aw", "w")
}

#[test]
fn only_names_of_tables_are_replaced() {
    for (sql, expected) in [
        ("SELECT 1 FROM presentity AS p", r#"SELECT 1 FROM "p" AS p"#),
        ("DELETE FROM Active_Watchers", r#"DELETE FROM "s"."aw""#),
        (
            "GRANT SELECT ON presentity, active_watchers,watchers TO x;",
            r#"GRANT SELECT ON "p", "s"."aw","w" TO x;"#,
        ),
        (
            "UPDATE presentity SET x = presentity.x",
            r#"UPDATE "p" SET x = "p".x"#,
        ),
        (
            "INSERT INTO watchers(a)VALUES(1)",
            r#"INSERT INTO "w"(a)VALUES(1)"#,
        ),
        // Parts of other names, columns, aliases.
        (
            "presentity_uri presentity_id_seq xpresentity presentity$1",
            "presentity_uri presentity_id_seq xpresentity presentity$1",
        ),
        ("a.watchers, public.watchers", "a.watchers, public.watchers"),
        ("count(*) AS watchers", "count(*) AS watchers"),
        (
            "count(*) as /* ! */\n watchers FROM watchers",
            "count(*) as /* ! */\n watchers FROM \"w\"",
        ),
        ("has watchers", r#"has "w""#),
        // Texts, quoted identifiers, comments.
        (
            "'watchers', 'it''s watchers', E'\\'watchers', e'\\\\', watchers",
            "'watchers', 'it''s watchers', E'\\'watchers', e'\\\\', \"w\"",
        ),
        (
            "CHECK \"of watchers \"\" watchers\"",
            "CHECK \"of watchers \"\" watchers\"",
        ),
        (
            "-- watchers' \nwatchers -- watchers",
            "-- watchers' \n\"w\" -- watchers",
        ),
        (
            "/* watchers /* ' */ watchers */watchers",
            "/* watchers /* ' */ watchers */\"w\"",
        ),
        // Bodies of functions, whatever their quotes are called; parameters.
        (
            "AS $$ SELECT FROM watchers WHERE a = $1 -- watchers\n AND b = 'watchers' $$; watchers",
            "AS $$ SELECT FROM \"w\" WHERE a = $1 -- watchers\n AND b = 'watchers' $$; \"w\"",
        ),
        (
            "AS $body$BEGIN DELETE FROM watchers; END$body$",
            "AS $body$BEGIN DELETE FROM \"w\"; END$body$",
        ),
        ("äwatchers 'ä' watchers", "äwatchers 'ä' \"w\""),
        // Unfinished.
        ("'watchers", "'watchers"),
        ("/* watchers", "/* watchers"),
        ("$watchers", "$watchers"),
        ("E'watchers\\", "E'watchers\\"),
        ("", ""),
    ] {
        assert_eq!(renamed().in_sql(sql), expected, "{sql}");
    }
}

#[test]
fn names_can_be_exchanged_and_stay_names() {
    let exchanged = Tables::new("watchers", "active_watchers", "presentity");
    assert_eq!(
        exchanged.in_sql("presentity watchers active_watchers"),
        r#""watchers" "presentity" active_watchers"#
    );
    let hostile = Tables::new("x\"; DROP TABLE node; --", "a\".\"b.c", "user");
    assert_eq!(
        hostile.names(),
        [
            "\"x\"\"; DROP TABLE node; --\"",
            "\"a\"\"\".\"\"\"b.c\"",
            "\"user\""
        ]
    );
    let schemas: Vec<String> = Tables::new("one.p", "one.a", "two.w")
        .schemas()
        .into_iter()
        .collect();
    assert_eq!(schemas, ["one", "two"]);
}

#[test]
fn the_usual_names_cost_nothing() {
    let usual = Tables::new("presentity", "active_watchers", "watchers");
    assert!(usual.are_usual() && usual == Tables::default() && usual.schemas().is_empty());
    assert_eq!(usual.names(), DEFAULT_NAMES);
    let sql = "SELECT 1 FROM watchers";
    assert!(
        matches!(usual.in_sql(sql), std::borrow::Cow::Borrowed(same) if std::ptr::eq(same, sql))
    );
}
