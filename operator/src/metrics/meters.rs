//! What the client and the work queue count.

use std::time::Duration;

use super::Metrics;
use super::labels::{Queue, Request, Write};
use crate::client::route::Route;

impl crate::client::Meter for Metrics {
    fn answered(&self, _: &Route, method: &str, code: Option<u16>) {
        let code = code.map_or_else(|| "<error>".to_owned(), |code| code.to_string());
        self.requests
            .get_or_create(&Request {
                code,
                method: method.to_owned(),
                host: self.host.clone(),
            })
            .inc();
    }

    fn wrote(&self, route: &Route) {
        self.writes
            .get_or_create(&Write {
                verb: route.verb,
                resource: route.resource.clone(),
            })
            .inc();
    }
}

impl crate::queue::driver::Meter for Metrics {
    fn added(&self) {
        self.adds.get_or_create(&Queue::OURS).inc();
    }

    fn taken(&self, waited: Duration) {
        self.queue_time
            .get_or_create(&Queue::OURS)
            .observe(waited.as_secs_f64());
    }

    fn finished(&self, ran: Duration, retried: bool) {
        self.work_time
            .get_or_create(&Queue::OURS)
            .observe(ran.as_secs_f64());
        if retried {
            self.retries.get_or_create(&Queue::OURS).inc();
        }
    }
}
