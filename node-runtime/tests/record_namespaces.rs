//! Records of the namespaces of containerd, each in a folder of its own below one root.

mod records;

use hosttask_node_runtime::id::Id;
use hosttask_node_runtime::record::{Phase, Store};
use hosttask_node_runtime::sys::Host;
use hosttask_node_runtime::sys::fake::FakeHost;

#[test]
fn the_records_of_every_namespace_are_found_below_their_root() {
    let folder = tempfile::tempdir().unwrap();
    let host = FakeHost::new();
    let root = folder.path().join("shims");
    let open_all = || Store::open_namespaces(&root, host.storage()).unwrap();
    assert_eq!(open_all().len(), 0, "there is no such folder yet");
    let web = Id::parse("web").unwrap();
    for namespace in ["moby", "pods"] {
        let namespace = Id::parse(namespace).unwrap();
        let store = Store::open_namespace(&root, &namespace, host.storage()).unwrap();
        let record = records::record(&web, Phase::Created);
        store.create(&web).unwrap().write(&record).unwrap();
    }
    let found = open_all();
    let mut names: Vec<Id> = found
        .iter()
        .flat_map(|store| store.list().unwrap().into_iter().map(|it| it.0))
        .collect();
    assert_eq!(names, [web.clone(), web.clone()]);
    names = found.iter().map(|store| store.host_name(&web)).collect();
    names.sort();
    let within = |namespace| web.within(&Id::parse(namespace).unwrap());
    let mut expected = [within("moby"), within("pods")];
    expected.sort();
    assert_eq!(names, expected);
}
