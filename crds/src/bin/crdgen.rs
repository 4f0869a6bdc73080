//! Prints the custom resource definitions as YAML, one document each.
#![expect(clippy::print_stdout, reason = "printing is what this program is for")]

fn main() -> Result<(), hosttask_crds::schema::SchemaError> {
    for (_, text) in hosttask_crds::schema::yaml()? {
        print!("---\n{text}");
        if !text.ends_with('\n') {
            println!();
        }
    }
    Ok(())
}
