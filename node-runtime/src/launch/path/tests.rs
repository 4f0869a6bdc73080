//! Tables of names.

use super::*;

fn windows(text: &str) -> Result<String, PathError> {
    canonical(Rules::Windows, text)
}

#[test]
fn a_full_path_of_windows_has_one_spelling() {
    let volume = r"\\?\Volume{26a21bda-a627-11d7-9931-806e6f6e6963}\";
    let table = [
        (r"C:\", r"C:\"),
        ("c:", r"C:\"),
        ("c:/", r"C:\"),
        (r"c:\a\b", r"C:\a\b"),
        ("c:/a//b/", r"C:\a\b"),
        (r"C:\.\a\.", r"C:\a"),
        (r"\\?\c:\a", r"C:\a"),
        ("//?/c:/a", r"C:\a"),
        (r"C:\ a\b c", r"C:\ a\b c"),
        (r"C:\Ä\日本", r"C:\Ä\日本"),
        (r"C:\console\com10\lpt\nulls", r"C:\console\com10\lpt\nulls"),
        (
            r"C:\a~b\~1\longername~1\x~1y",
            r"C:\a~b\~1\longername~1\x~1y",
        ),
        (r"C:\.hidden", r"C:\.hidden"),
        (volume, volume),
    ];
    for (text, expected) in table {
        assert_eq!(windows(text).as_deref(), Ok(expected), "{text}");
    }
    let other = volume.to_ascii_uppercase() + "a/b";
    assert_eq!(windows(&other).unwrap(), format!(r"{volume}a\b"));
}

#[test]
fn every_second_name_of_a_file_is_refused() {
    let reserved = |name: &str| PathError::Reserved(name.to_owned());
    let trailing = |name: &str| PathError::Trailing(name.to_owned());
    let short = |name: &str| PathError::Short(name.to_owned());
    let table = [
        ("", PathError::Empty),
        ("a", PathError::NotFull),
        (r"\a", PathError::NotFull),
        ("C:a", PathError::OfDrive),
        (r"\\?\C:a", PathError::OfDrive),
        (r"\\server\share\a", PathError::Network),
        ("//server/share", PathError::Network),
        (r"\\?\UNC\server\share", PathError::Network),
        (r"\\.\pipe\docker_engine", PathError::Pipe),
        ("//./PIPE/x", PathError::Pipe),
        (r"\\.\C:\a", PathError::Device),
        (r"\\.\PhysicalDrive0", PathError::Device),
        (
            r"\\?\GLOBALROOT\Device\HarddiskVolume1\a",
            PathError::Device,
        ),
        (r"\\?\pipe\x", PathError::Device),
        (r"\\?\Volume{26a21bda}\a", PathError::Device),
        (r"\??\C:\a", PathError::Device),
        (r"C:\NUL", reserved("NUL")),
        (r"C:\a\nul.txt", reserved("nul.txt")),
        (r"C:\con .x", reserved("con .x")),
        (r"C:\COM1", reserved("COM1")),
        (r"C:\lpt²", reserved("lpt²")),
        (r"C:\conin$", reserved("conin$")),
        (r"C:\a:b", PathError::Stream),
        (r"C:\a::$DATA", PathError::Stream),
        (r"C:\a\C:\b", PathError::Stream),
        (r"C:\a.", trailing("a.")),
        (r"C:\a \b", trailing("a ")),
        (r"C:\...\b", trailing("...")),
        (r"C:\PROGRA~1\x", short("PROGRA~1")),
        (r"C:\a\longn~12.txt", short("longn~12.txt")),
        (r"C:\a\..\b", PathError::Up),
        ("C:\\a\0b", PathError::Character('\0')),
        ("C:\\a\nb", PathError::Character('\n')),
        (r"C:\a*", PathError::Character('*')),
        (r#"C:\a"b"#, PathError::Character('"')),
    ];
    for (text, expected) in table {
        assert_eq!(windows(text), Err(expected), "{text}");
    }
    let name = "n".repeat(256);
    assert_eq!(windows(&format!(r"C:\{name}")), Err(PathError::TooLong));
    let many = r"\n".repeat(20_000);
    assert_eq!(windows(&format!("C:{many}")), Err(PathError::TooLong));
}

#[test]
fn a_path_of_linux_has_one_spelling() {
    let posix = |text| canonical(Rules::Posix, text);
    assert_eq!(posix("//a/./b\\c/").as_deref(), Ok(r"/a/b\c"));
    assert_eq!(posix("/").as_deref(), Ok("/"));
    assert_eq!(posix("/NUL:.").as_deref(), Ok("/NUL:."));
    assert_eq!(posix("a"), Err(PathError::NotFull));
    assert_eq!(posix("/a/../b"), Err(PathError::Up));
    assert_eq!(posix("/a\0"), Err(PathError::Character('\0')));
}

#[test]
fn a_relative_path_is_meant_in_its_folder() {
    let table = [
        (r"C:\hpc\", r"bin\x.exe", Ok(r"C:\hpc\bin\x.exe")),
        (r"C:\hpc", r"./bin/x.exe", Ok(r"C:\hpc\bin\x.exe")),
        (r"C:\hpc\bin", r"..\x.exe", Ok(r"C:\hpc\x.exe")),
        (r"C:\hpc", r"\x.exe", Ok(r"C:\x.exe")),
        (r"C:\hpc", r"D:\x.exe", Ok(r"D:\x.exe")),
        (r"C:\hpc", r"C:\PROGRA~1\x.exe", Ok(r"C:\PROGRA~1\x.exe")),
        (r"C:\hpc", r"..\..\x.exe", Err(PathError::Above)),
        (r"C:\hpc", "C:x.exe", Err(PathError::OfDrive)),
        (r"C:\hpc", "x.exe:y", Err(PathError::Stream)),
        (r"hpc", "x", Err(PathError::NotFull)),
    ];
    for (folder, text, expected) in table {
        let got = join(Rules::Windows, folder, text);
        assert_eq!(got, expected.map(str::to_owned), "{folder} {text}");
    }
    assert_eq!(join(Rules::Posix, "/a/", "../b").as_deref(), Ok("/b"));
}

#[test]
fn below_is_by_names_and_not_by_letters() {
    let table = [
        (r"C:\hpc", r"C:\hpc\", Some("")),
        (r"C:\hpc\a\b", r"C:\hpc\", Some(r"a\b")),
        (r"c:\HPC\a", r"C:\hpc", Some("a")),
        (r"C:\hpcx\a", r"C:\hpc", None),
        (r"C:\hp", r"C:\hpc", None),
        (r"C:\Äb\c", r"C:\äB\", Some("c")),
        (r"C:\a", r"C:\", Some("a")),
    ];
    for (path, folder, expected) in table {
        assert_eq!(below(Rules::Windows, path, folder), expected, "{path}");
    }
    assert_eq!(below(Rules::Posix, "/A/b", "/a"), None);
    assert_eq!(below(Rules::Posix, "/a/b", "/"), Some("a/b"));
}

#[test]
fn a_path_of_the_program_is_below_the_root_without_its_drive() {
    let place = |path| in_root(Rules::Windows, r"C:\hpc\1\", path);
    assert_eq!(place(r"C:\etc\app"), r"C:\hpc\1\etc\app");
    assert_eq!(place(r"C:\"), r"C:\hpc\1\");
    assert_eq!(in_root(Rules::Posix, "/run/c/", "/etc"), "/run/c/etc");
}
