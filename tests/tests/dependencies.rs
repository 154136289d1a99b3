//! No dependency that nothing uses.

#![expect(clippy::unwrap_used, reason = "what can't be read fails the test")]

use std::{fs, path::Path};

fn sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            text.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_dependency_is_used() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let whole = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let mut named = String::new();
    let (_, members) = whole.split_once("members = [").unwrap();
    let (members, _) = members.split_once(']').unwrap();
    for package in members.split(',').map(|member| member.trim().trim_matches('"')) {
        let manifest = fs::read_to_string(root.join(package).join("Cargo.toml")).unwrap();
        let (_, dependencies) = manifest.split_once("[dependencies]").unwrap();
        let mut text = String::new();
        sources(&root.join(package), &mut text);
        for line in dependencies.lines() {
            let Some(name) = line.strip_suffix(".workspace = true") else { continue };
            let used = text.contains(&format!("{}::", name.replace('-', "_")))
                || text.contains(&format!("use {}", name.replace('-', "_")));
            assert!(used, "{package} does not use {name}");
        }
        named.push_str(&manifest);
    }
    let (_, dependencies) = whole.split_once("[workspace.dependencies]").unwrap();
    let (dependencies, _) = dependencies.split_once("\n[").unwrap();
    for name in dependencies.lines().filter_map(|line| line.split_once(" = ")).map(|(name, _)| name)
    {
        assert!(named.contains(&format!("\n{name}.workspace")), "no package names {name}");
    }
}
