//! The report for people.

use std::fmt;

use crate::report::{Percentiles, Report, RequestCounts};

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.workload, self.description)?;
        writeln!(
            f,
            "  {} on {} worker{}, measured {:.1} s",
            self.servers.join(" "),
            self.workers,
            if self.workers == 1 { "" } else { "s" },
            self.seconds
        )?;
        self.write_phases(f)?;
        self.write_requests(f)?;
        self.write_latencies(f)?;
        writeln!(
            f,
            "\n  sent again {}, NOTIFYs received again {}",
            self.retransmissions.sent, self.retransmissions.received_notify
        )?;
        writeln!(
            f,
            "  {:.0} messages/s ({} sent, {} received), generator busy {:.0} %{}",
            self.messages.per_second,
            self.messages.sent,
            self.messages.received,
            self.messages.generator_load * 100.0,
            if self.messages.generator_load > 0.9 {
                ": it may be the bottleneck itself, try more --workers"
            } else {
                ""
            }
        )?;
        self.write_verdict(f)
    }
}

impl Report {
    fn write_phases(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for phase in &self.phases {
            write!(f, "  {:<12} {:>7.1} s", phase.name, phase.seconds)?;
            if let Some(last) = phase.last_initial_notify_s {
                write!(f, ", last first NOTIFY after {last:.2} s")?;
            }
            writeln!(f, "{}", if phase.measured { "  (measured)" } else { "" })?;
        }
        Ok(())
    }

    fn write_requests(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let requests = &self.requests;
        writeln!(f, "\n  {:<20} {:>10}  outcomes", "", "ok per s")?;
        for (name, counts) in [
            ("PUBLISH initial", &requests.publish_initial),
            ("PUBLISH modify", &requests.publish_modify),
            ("PUBLISH refresh", &requests.publish_refresh),
            ("PUBLISH remove", &requests.publish_remove),
            ("SUBSCRIBE initial", &requests.subscribe_initial),
            ("SUBSCRIBE refresh", &requests.subscribe_refresh),
            ("SUBSCRIBE end", &requests.subscribe_end),
        ] {
            if !counts.outcomes.is_empty() {
                writeln!(
                    f,
                    "  {name:<20} {:>10.1}  {}",
                    counts.per_second,
                    outcomes(counts)
                )?;
            }
        }
        let notify = &requests.notify;
        if notify.received + notify.stray > 0 {
            write!(
                f,
                "  {:<20} {:>10.1}  {} received",
                "NOTIFY", notify.per_second, notify.received
            )?;
            if notify.stray > 0 {
                write!(f, ", {} stray", notify.stray)?;
            }
            if notify.terminated > 0 {
                write!(
                    f,
                    ", {} subscriptions ended by the server",
                    notify.terminated
                )?;
            }
            if notify.after_refusal > 0 {
                write!(
                    f,
                    ", {} in dialogs of SUBSCRIBEs answered 503",
                    notify.after_refusal
                )?;
            }
            writeln!(f)?;
        }
        Ok(())
    }

    fn write_latencies(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n  {:<20} {:>9} {:>9} {:>9} {:>9} {:>9} {:>10}",
            "milliseconds", "p50", "p90", "p99", "p99.9", "max", "count"
        )?;
        let latency = &self.latency_ms;
        for (
            name,
            Percentiles {
                p50,
                p90,
                p99,
                p999,
                max,
                count,
            },
        ) in [
            ("state to watcher", latency.state),
            ("same, shown states", latency.state_shown),
            ("first NOTIFY", latency.initial_notify),
            ("PUBLISH answered", latency.publish_response),
            ("SUBSCRIBE answered", latency.subscribe_response),
        ] {
            if count > 0 {
                writeln!(
                    f,
                    "  {name:<20} {p50:>9.2} {p90:>9.2} {p99:>9.2} {p999:>9.2} {max:>9.2} {count:>10}"
                )?;
            }
        }
        Ok(())
    }

    fn write_verdict(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.verdict.ok {
            return writeln!(f, "\n  verdict: good");
        }
        let kinds = self.verdict.kinds();
        let found: Vec<String> = kinds
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(name, count)| format!("{count} {name}"))
            .collect();
        writeln!(f, "\n  verdict: BAD: {}", found.join(", "))?;
        for fault in &self.verdict.faults {
            writeln!(f, "    {fault}")?;
        }
        Ok(())
    }
}

fn outcomes(counts: &RequestCounts) -> String {
    let outcomes: Vec<String> = counts
        .outcomes
        .iter()
        .map(|(status, count)| format!("{status}: {count}"))
        .collect();
    outcomes.join(", ")
}
