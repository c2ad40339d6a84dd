use std::fs;

use super::*;
use crate::device::hardware::junk::is_junk;

use HardwareKind::{
    AndroidSerial, BoardSerial, DeviceTreeSerial, MachineId, PortAddress, ProductUuid, SocSerial, StorageCid,
};

const SALT: HardwareSalt = HardwareSalt([9; 16]);

/// A tree that looks like a device.
struct Tree {
    root: tempfile::TempDir,
}

impl Tree {
    fn new(files: &[(&str, &str)]) -> Self {
        let tree = Self { root: tempfile::tempdir().unwrap() };
        for (path, content) in files {
            tree.write(path, content);
        }
        tree
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// A network port with a device behind it.
    fn add_port(&self, name: &str, address: &str, assign: &str, bus: &str) {
        self.write(&format!("sys/class/net/{name}/address"), address);
        self.write(&format!("sys/class/net/{name}/addr_assign_type"), assign);
        let device = self.root.path().join(format!("sys/class/net/{name}/device"));
        fs::create_dir_all(&device).unwrap();
        std::os::unix::fs::symlink(format!("../../../../bus/{bus}"), device.join("subsystem")).unwrap();
    }

    fn find(&self) -> HardwareId {
        find_hardware(self.root.path(), &SALT)
    }

    fn kinds(&self) -> Vec<HardwareKind> {
        self.find().sources().iter().map(|source| source.kind).collect()
    }

    fn has(&self, kind: HardwareKind, value: &str) -> bool {
        self.find().sources().contains(&HardwareSource::of_value(kind, &SALT, value.as_bytes()))
    }
}

#[test]
fn each_source_is_found_where_linux_has_it() {
    for (path, content, kind, value) in [
        ("proc/device-tree/serial-number", "10000000a1b2c3d4\0", DeviceTreeSerial, "10000000a1b2c3d4"),
        ("sys/firmware/devicetree/base/serial-number", "AX-1200\0", DeviceTreeSerial, "AX-1200"),
        ("sys/devices/soc0/serial_number", "1A2B3C4D\n", SocSerial, "1A2B3C4D"),
        (
            "sys/class/dmi/id/product_uuid",
            "4C4C4544-0042-3510-8053-B4C04F4D4E32\n",
            ProductUuid,
            "4c4c4544-0042-3510-8053-b4c04f4d4e32",
        ),
        ("sys/class/dmi/id/board_serial", " /7J2K/CN12 \n", BoardSerial, "/7J2K/CN12"),
        ("etc/machine-id", "0123456789abcdef0123456789abcde0\n", MachineId, "0123456789abcdef0123456789abcde0"),
    ] {
        let tree = Tree::new(&[(path, content)]);

        assert_eq!(tree.kinds(), [kind], "{path}");
        assert!(tree.has(kind, value), "{path}");
    }
}

#[test]
fn built_in_storage_counts_and_a_memory_card_does_not() {
    let tree = Tree::new(&[
        ("sys/block/mmcblk0/device/type", "SD\n"),
        ("sys/block/mmcblk0/device/cid", "035344534333324780aabbccdd013a00\n"),
        ("sys/block/sda/device/type", "MMC\n"),
        ("sys/block/sda/device/cid", "aa\n"),
    ]);
    assert_eq!(tree.kinds(), []);

    tree.write("sys/block/mmcblk1/device/type", "MMC\n");
    tree.write("sys/block/mmcblk1/device/cid", "150100424A54443452084C5B2A6D7F00\n");

    assert!(tree.has(StorageCid, "150100424a54443452084c5b2a6d7f00"));
}

#[test]
fn the_lowest_built_in_port_counts_before_any_usb_adapter() {
    let tree = Tree::new(&[]);
    tree.add_port("wlx0", "00:0e:c6:00:00:01", "0\n", "usb");
    assert!(tree.has(PortAddress, "00:0e:c6:00:00:01"), "better than nothing");

    tree.add_port("eth1", "DC:A6:32:11:22:34\n", "0\n", "pci");
    tree.add_port("eth0", "dc:a6:32:11:22:33\n", "0\n", "pci");

    assert!(tree.has(PortAddress, "dc:a6:32:11:22:33"));
}

#[test]
fn an_address_that_was_set_or_drawn_or_belongs_to_no_port_does_not_count() {
    let good = "dc:a6:32:11:22:33";
    for (address, assign) in [
        ("00:00:00:00:00:00", "0"),
        ("02:42:ac:11:00:02", "0"),
        ("52:54:00:12:34:56", "0"),
        ("01:00:5e:00:00:01", "0"),
        ("ff:ff:ff:ff:ff:ff", "0"),
        ("dc:a6:32:11:22", "0"),
        ("dc:a6:32:11:22:33:44:55", "0"),
        ("dc:a6:32:11:22:+3", "0"),
        ("", "0"),
        (good, "1"),
        (good, "3"),
        (good, ""),
    ] {
        let tree = Tree::new(&[]);
        tree.add_port("eth0", address, assign, "pci");

        assert_eq!(tree.kinds(), [], "{address} {assign}");
    }
    let bridge = Tree::new(&[("sys/class/net/br0/address", good), ("sys/class/net/br0/addr_assign_type", "0")]);
    assert_eq!(bridge.kinds(), []);
}

#[test]
fn a_port_whose_address_was_set_since_counts_by_the_one_that_it_was_made_with() {
    let made_with = "dc:a6:32:11:22:33";
    let permanent = |address: &str| [("eth0".to_owned(), zeroize::Zeroizing::new(address.to_owned()))].into();
    for (address, assign) in [("de:ad:be:ef:00:01", "3"), ("00:11:22:33:44:55", "1"), (made_with, "0")] {
        let tree = Tree::new(&[]);
        tree.add_port("eth0", address, assign, "pci");

        let found = sources::port_address(tree.root.path(), &permanent(made_with));

        assert_eq!(found.as_deref().map(String::as_str), Some(made_with), "{address} {assign}");
        let of_a_hypervisor = sources::port_address(tree.root.path(), &permanent("52:54:00:12:34:56"));
        assert_eq!(of_a_hypervisor, None, "it goes by the same rules");
    }
}

#[test]
fn what_makers_leave_in_place_of_a_serial_number_does_not_count() {
    for junk in [
        "To be filled by O.E.M.",
        "Default string",
        "DEFAULT STRING",
        "None",
        "0",
        "",
        "-",
        "00000000",
        "0x00000000",
        "00000000-0000-0000-0000-000000000000",
        "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
        "03000200-0400-0500-0006-000700080009",
        "System Serial Number",
        "xxxxxxxx",
        "N/A",
        "123",
        "123456789",
    ] {
        assert!(is_junk(junk), "{junk:?}");
        let path = "sys/class/dmi/id/board_serial";
        assert_eq!(Tree::new(&[(path, &format!("{junk}\n"))]).kinds(), [], "{junk:?}");
    }
    for serial in ["PF1A2B3C", "1004", "0x1f2e3d4c", "NONE-1234"] {
        assert!(!is_junk(serial), "{serial:?}");
    }
}

#[test]
fn what_is_no_text_too_long_or_not_set_up_yet_does_not_count() {
    let tree =
        Tree::new(&[("sys/class/dmi/id/board_serial", &"A1".repeat(200)), ("etc/machine-id", "uninitialized\n")]);
    let path = tree.root.path().join("sys/class/dmi/id/product_uuid");
    fs::write(path, [0xff, 0xfe, 1, 2, 3, 4]).unwrap();

    assert_eq!(tree.kinds(), []);
}

#[test]
fn android_tells_its_serial_number_when_it_is_asked() {
    use std::os::unix::fs::PermissionsExt as _;
    let script = "#!/bin/sh\n[ \"$1\" = ro.boot.serialno ] && echo R52M1234\n";
    let tree = Tree::new(&[("system/bin/getprop", script)]);
    let program = tree.root.path().join("system/bin/getprop");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();

    assert!(tree.has(AndroidSerial, "R52M1234"));

    // A program that is not allowed to run tells nothing, and that is no error.
    fs::set_permissions(&program, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(tree.kinds(), []);
}

#[test]
fn another_salt_gives_digests_that_nobody_can_bring_together() {
    let tree = Tree::new(&[("sys/devices/soc0/serial_number", "1A2B3C4D")]);

    assert_ne!(find_hardware(tree.root.path(), &HardwareSalt([1; 16])), tree.find());
}

#[test]
fn people_are_told_what_is_found_how_strong_it_is_and_what_changed() {
    let found = |files: &[(&str, &str)]| Tree::new(files).find();
    let board = ("sys/class/dmi/id/board_serial", "PF1A2B3C");
    let machine = ("etc/machine-id", "0123456789abcdef0123456789abcde0");
    let chip = ("sys/devices/soc0/serial_number", "1A2B3C4D");
    let enrolled = found(&[chip, board, machine]);
    let told = |id: &HardwareId| binding(Some(compare(&enrolled, id)), enrolled.strength(), id);

    let same = told(&found(&[chip, machine]));
    assert_eq!(same.check(), Ok(()));
    assert_eq!(same.difference().unwrap(), "cannot be found or read: serial number of the board");
    assert!(same.sentences.contains(&"It is the device that was enrolled.".to_owned()), "{same:?}");

    let other = told(&found(&[("sys/devices/soc0/serial_number", "99999998"), machine]));
    let error = other.check().unwrap_err();
    assert_eq!((error.code.as_str(), error.exit), ("hardware_changed", Exit::Refused));
    assert!(
        error
            .message
            .contains("changed: serial number of the chip; cannot be found or read: serial number of the board")
    );
    assert!(error.advice.contains("reset-hardware"));
    assert_eq!(other.difference(), None, "the refusal says it");

    let nothing = binding(None, BindingStrength::None, &found(&[]));
    assert_eq!(nothing.check(), Ok(()));
    assert!(nothing.sentences.iter().any(|sentence| sentence.contains("how it would be bound")), "{nothing:?}");
}

#[test]
fn no_serial_number_is_in_what_people_are_shown() {
    let tree = Tree::new(&[("sys/devices/soc0/serial_number", "SECRET-SERIAL"), ("etc/machine-id", "no")]);
    let found = tree.find();

    let shown = format!("{found:?} {:?}", binding(None, found.strength(), &found));

    assert!(shown.contains("SocSerial") && !shown.contains("SECRET"), "{shown}");
}
