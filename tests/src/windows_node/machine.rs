//! What the Windows registry says about the machine. kubelet reads it and ends without it.

/// What kubelet tells the control plane about the machine it runs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// The build of Windows, such as 20348 for Windows Server 2022.
    pub build: u32,
    /// The revision of the build, which updates raise.
    pub revision: u32,
    /// What the installation is known by: another one is another image on the machine. It becomes the node's system UUID.
    pub hardware: String,
    /// How often the machine was started. It becomes the node's boot ID.
    pub boot: u32,
}

impl Default for Machine {
    /// A Windows Server 2022.
    fn default() -> Self {
        Self {
            build: 20348,
            revision: 2700,
            hardware: "{6d8a2c10-5b1e-4c53-9d3f-000000000001}".to_owned(),
            boot: 7,
        }
    }
}

impl Machine {
    /// The values as a file for `regedit`.
    pub(super) fn registry(&self) -> String {
        let Self {
            build,
            revision,
            hardware,
            boot,
        } = self;
        format!(
            "Windows Registry Editor Version 5.00\r\n\r\n\
             [HKEY_LOCAL_MACHINE\\SYSTEM\\HardwareConfig]\r\n\
             \"LastConfig\"=\"{hardware}\"\r\n\r\n\
             [HKEY_LOCAL_MACHINE\\SYSTEM\\CurrentControlSet\\Control\\Session Manager\\Memory Management\\PrefetchParameters]\r\n\
             \"BootId\"=dword:{boot:08x}\r\n\r\n\
             [HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion]\r\n\
             \"CurrentBuildNumber\"=\"{build}\"\r\n\
             \"CurrentBuild\"=\"{build}\"\r\n\
             \"CurrentMajorVersionNumber\"=dword:0000000a\r\n\
             \"CurrentMinorVersionNumber\"=dword:00000000\r\n\
             \"UBR\"=dword:{revision:08x}\r\n\
             \"ProductName\"=\"Windows Server 2022 Datacenter\"\r\n"
        )
    }

    /// The same machine with another installation of Windows.
    pub(super) fn reimaged(&self) -> Self {
        let digits = self.hardware.trim_matches(['{', '}']);
        let next = digits
            .rsplit_once('-')
            .and_then(|(head, tail)| {
                let number = u64::from_str_radix(tail, 16).ok()?.wrapping_add(1);
                Some(format!("{{{head}-{:012x}}}", number & 0xffff_ffff_ffff))
            })
            .unwrap_or_else(|| Self::default().hardware);
        Self {
            hardware: next,
            boot: 1,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_installation_has_another_hardware_id_and_starts_to_count_again() {
        let first = Machine::default();
        let second = first.reimaged();
        assert_eq!(second.hardware, "{6d8a2c10-5b1e-4c53-9d3f-000000000002}");
        assert_eq!(second.boot, 1);
        assert_eq!(second.build, first.build);
    }

    #[test]
    fn numbers_stand_in_the_registry_as_eight_hexadecimal_digits() {
        let text = Machine::default().registry();
        assert!(text.contains("\"BootId\"=dword:00000007\r\n"), "{text}");
        assert!(text.contains("\"UBR\"=dword:00000a8c\r\n"), "{text}");
    }
}
