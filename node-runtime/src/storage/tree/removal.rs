//! `storage::tree::removal`: what an upper layer takes away from lower ones.

use std::fs;
use std::io;
use std::path::Path;

use super::{Fault, Node, NodeKind, Tree, joined};
use crate::storage::error::EntryFault;

impl Tree<'_> {
    /// Takes away what lower layers have under a name: with itself, or what is in it only.
    pub(crate) fn hide(&mut self, parts: &[&str], with_itself: bool) -> Result<(), Fault> {
        self.summary.whiteouts += 1;
        let key = joined(parts);
        let mark = format!("{}{key}", u8::from(with_itself));
        if !self.hidden.insert(mark) {
            return Ok(());
        }
        let mut below: Vec<_> = self
            .below(&key)
            .filter(|(_, node)| node.layer < self.layer)
            .map(|(key, _)| key.clone())
            .collect();
        if with_itself && self.nodes.get(&key).is_some_and(|it| it.layer < self.layer) {
            below.insert(0, key);
        }
        // What is in a folder has a longer key that starts with the folder's, so it comes first from behind.
        for key in below.iter().rev() {
            self.remove(key)?;
        }
        Ok(())
    }

    /// Removes what is at a name so that the current layer can put something else there. In one layer the last entry of a
    /// name counts, as with every archive, but two spellings of one name would be two files where they were packed.
    pub(super) fn clear(&mut self, key: &str, path: &Path) -> Result<(), Fault> {
        let Some(node) = self.nodes.get(key) else {
            return Ok(());
        };
        let is_new = |node: &Node| node.layer == self.layer;
        let is_folder = node.kind == NodeKind::Folder;
        let conflicts = is_new(node) && (is_folder || node.path != path);
        if conflicts || (is_folder && self.below(key).any(|(_, node)| is_new(node))) {
            return Err(EntryFault::Twice(node.path.display().to_string()).into());
        }
        let below: Vec<_> = self.below(key).map(|(key, _)| key.clone()).collect();
        for key in below.iter().rev() {
            self.remove(key)?;
        }
        self.remove(key)?;
        Ok(())
    }

    /// Everything in a folder, but not itself.
    fn below(&self, key: &str) -> impl Iterator<Item = (&String, &Node)> {
        let prefix = if key.is_empty() {
            String::new()
        } else {
            format!("{key}/")
        };
        let start = prefix.clone();
        self.nodes
            .range(start..)
            .take_while(move |(key, _)| key.starts_with(&prefix))
    }

    /// Removes one name, but no folder that has something.
    fn remove(&mut self, key: &str) -> io::Result<()> {
        let Some(node) = self.nodes.get(key) else {
            return Ok(());
        };
        let path = self.root.join(&node.path);
        match node.kind {
            NodeKind::Folder if self.below(key).next().is_some() => return Ok(()),
            NodeKind::Folder => fs::remove_dir(path)?,
            NodeKind::File => fs::remove_file(path)?,
            NodeKind::Link { .. } => {}
        }
        self.nodes.remove(key);
        Ok(())
    }
}
