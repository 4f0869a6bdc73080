//! What a request to the API server is about, read from its method and URI: for metrics, the fence and the rate limit.

use http::{Method, Uri};

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The verb as RBAC names it: get, list, watch, create, update, patch, delete.
    pub verb: &'static str,
    /// The resource, with its subresource: `pods`, `windowshosttasks/status`.
    pub resource: String,
    /// Whether it is a dry run, which changes nothing.
    pub dry_run: bool,
}

impl Route {
    /// Reads method and URI. A path that is no resource (`/version`) has an empty resource.
    pub fn of(method: &Method, uri: &Uri) -> Self {
        let query = uri.query().unwrap_or("");
        let has = |wanted: &str| query.split('&').any(|pair| pair == wanted);
        let (resource, named) = resource(uri.path());
        let verb = match *method {
            Method::GET if has("watch=true") || has("watch=1") => "watch",
            Method::GET | Method::HEAD if named => "get",
            Method::GET | Method::HEAD => "list",
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            _ => "delete",
        };
        Self {
            verb,
            resource,
            dry_run: has("dryRun=All"),
        }
    }

    /// Whether it may change something.
    pub fn is_write(&self) -> bool {
        !matches!(self.verb, "get" | "list" | "watch") && !self.dry_run
    }

    /// Whether it belongs to the election, which must go on whatever else does not.
    pub fn is_election(&self) -> bool {
        self.resource == "leases"
    }
}

/// The resource of a path, and whether one object of it is named.
fn resource(path: &str) -> (String, bool) {
    let mut parts = path.split('/').filter(|part| !part.is_empty()).peekable();
    // /api/VERSION/… or /apis/GROUP/VERSION/…
    let skipped = match parts.next() {
        Some("api") => 1,
        Some("apis") => 2,
        _ => return (String::new(), true),
    };
    let mut parts = parts.skip(skipped);
    let mut first = parts.next();
    let (mut name, mut sub) = (parts.next(), parts.next());
    if first == Some("namespaces") && sub.is_some() {
        first = sub;
        (name, sub) = (parts.next(), parts.next());
    }
    let resource = first.unwrap_or("");
    let resource = sub.map_or_else(|| resource.to_owned(), |sub| format!("{resource}/{sub}"));
    (resource, name.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(method: &Method, uri: &str) -> (&'static str, String, bool) {
        let route = Route::of(method, &uri.parse().unwrap());
        (route.verb, route.resource.clone(), route.is_write())
    }

    #[test]
    fn a_request_is_named_as_rbac_names_it() {
        let table = [
            (Method::GET, "/api/v1/nodes", "list", "nodes", false),
            (Method::GET, "/api/v1/nodes/win-1", "get", "nodes", false),
            (
                Method::GET,
                "/api/v1/pods?limit=500&watch=true",
                "watch",
                "pods",
                false,
            ),
            (
                Method::DELETE,
                "/api/v1/namespaces/a/pods/p",
                "delete",
                "pods",
                true,
            ),
            (
                Method::GET,
                "/api/v1/namespaces/a",
                "get",
                "namespaces",
                false,
            ),
            (
                Method::POST,
                "/apis/batch/v1/namespaces/a/jobs",
                "create",
                "jobs",
                true,
            ),
            (
                Method::POST,
                "/apis/batch/v1/namespaces/a/jobs?dryRun=All",
                "create",
                "jobs",
                false,
            ),
            (
                Method::PATCH,
                "/apis/hosttask.dev/v1alpha1/namespaces/a/windowshosttasks/t/status",
                "patch",
                "windowshosttasks/status",
                true,
            ),
            (
                Method::PATCH,
                "/apis/hosttask.dev/v1alpha1/windowshostnodes/n/status?",
                "patch",
                "windowshostnodes/status",
                true,
            ),
            (
                Method::PUT,
                "/apis/coordination.k8s.io/v1/namespaces/a/leases/l",
                "update",
                "leases",
                true,
            ),
            (Method::GET, "/version", "get", "", false),
        ];
        for (method, uri, verb, resource, write) in table {
            assert_eq!(
                route(&method, uri),
                (verb, resource.to_owned(), write),
                "{uri}"
            );
        }
    }
}
