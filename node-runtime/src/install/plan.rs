//! What has to be done, given what is there.

use serde::Serialize;

/// How far one of the things that belong to an installation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Standing {
    /// It is not there.
    Missing,
    /// It is there, but is another one.
    Different,
    /// It is there as it should be.
    Current,
}

/// What was found on the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    /// The programs beside containerd, in the order of [`super::PROGRAMS`].
    pub programs: Vec<Standing>,
    /// The drop-in.
    pub drop_in: Standing,
    /// Whether containerd's configuration imports the drop-in.
    pub import: Standing,
    /// Whether the import is one that names the drop-in alone: ours.
    pub import_is_ours: bool,
    /// How many containers of the runtime are on the node.
    pub containers: usize,
}

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The runtime is installed.
    Installed,
    /// It is gone.
    Gone,
}

/// One thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Step {
    /// Put a program beside containerd, by its place in [`super::PROGRAMS`].
    PlaceProgram(usize),
    /// Write the drop-in.
    WriteDropIn,
    /// Import it.
    AddImport,
    /// Take the import away.
    RemoveImport,
    /// Remove the drop-in.
    RemoveDropIn,
    /// Restart containerd, and the services that need it.
    Restart,
    /// Remove a program beside containerd.
    RemoveProgram(usize),
}

/// The steps from what is there to what is wanted, in an order that leaves a containerd that starts whenever it is cut off: an
/// import of a file that does not exist keeps containerd from starting.
///
/// containerd is restarted only where its configuration changes: a shim is looked up for each pod.
pub fn plan(found: &Found, target: Target) -> Vec<Step> {
    let mut steps = Vec::new();
    let programs = || found.programs.iter().enumerate();
    match target {
        Target::Installed => {
            let wanting = programs().filter(|(_, standing)| **standing != Standing::Current);
            steps.extend(wanting.map(|(index, _)| Step::PlaceProgram(index)));
            if found.drop_in != Standing::Current {
                steps.push(Step::WriteDropIn);
            }
            if found.import != Standing::Current {
                steps.push(Step::AddImport);
            }
            if found.drop_in != Standing::Current || found.import != Standing::Current {
                steps.push(Step::Restart);
            }
        }
        Target::Gone => {
            let is_imported = found.import == Standing::Current && found.import_is_ours;
            let is_there = found.drop_in != Standing::Missing;
            if is_imported {
                steps.push(Step::RemoveImport);
            }
            if is_there {
                steps.push(Step::RemoveDropIn);
            }
            if is_imported || is_there {
                steps.push(Step::Restart);
            }
            let there = programs().filter(|(_, standing)| **standing != Standing::Missing);
            steps.extend(there.map(|(index, _)| Step::RemoveProgram(index)));
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANDINGS: [Standing; 3] = [Standing::Missing, Standing::Different, Standing::Current];

    fn found(program: Standing, drop_in: Standing, import: Standing) -> Found {
        Found {
            programs: vec![program, Standing::Current],
            drop_in,
            import,
            import_is_ours: true,
            containers: 0,
        }
    }

    fn place(steps: &[Step], step: Step) -> Option<usize> {
        steps.iter().position(|it| *it == step)
    }

    #[test]
    fn what_is_as_it_should_be_is_left_alone() {
        let all = found(Standing::Current, Standing::Current, Standing::Current);
        assert_eq!(plan(&all, Target::Installed), []);
        let nothing = Found {
            programs: vec![Standing::Missing, Standing::Missing],
            ..found(Standing::Missing, Standing::Missing, Standing::Missing)
        };
        assert_eq!(plan(&nothing, Target::Gone), []);
    }

    #[test]
    fn another_shim_needs_no_restart() {
        let old = found(Standing::Different, Standing::Current, Standing::Current);
        assert_eq!(plan(&old, Target::Installed), [Step::PlaceProgram(0)]);
    }

    #[test]
    fn an_import_is_never_there_without_its_file() {
        for program in STANDINGS {
            for drop_in in STANDINGS {
                for import in [Standing::Missing, Standing::Current] {
                    let found = found(program, drop_in, import);
                    let install = plan(&found, Target::Installed);
                    if let Some(import) = place(&install, Step::AddImport) {
                        assert!(
                            place(&install, Step::WriteDropIn).is_none_or(|file| file < import)
                        );
                    }
                    let remove = plan(&found, Target::Gone);
                    if let Some(file) = place(&remove, Step::RemoveDropIn) {
                        assert!(
                            place(&remove, Step::RemoveImport).is_none_or(|import| import < file)
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn an_import_of_a_whole_folder_stays() {
        let by_pattern = Found {
            import_is_ours: false,
            ..found(Standing::Current, Standing::Current, Standing::Current)
        };
        let steps = plan(&by_pattern, Target::Gone);
        assert_eq!(
            steps,
            [
                Step::RemoveDropIn,
                Step::Restart,
                Step::RemoveProgram(0),
                Step::RemoveProgram(1)
            ]
        );
    }
}
