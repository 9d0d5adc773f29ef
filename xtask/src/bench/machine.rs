//! The facts of the machine that a measurement is worth nothing without.

use std::fs;
use std::path::Path;
use std::process::Command;

const UNKNOWN: &str = "unknown";

/// Processor, cores, kernel, compiler, and the file system below `disk`.
pub(super) fn facts(disk: &Path) -> Vec<(&'static str, String)> {
    let cores = std::thread::available_parallelism().map_or(UNKNOWN.to_owned(), |cores| cores.to_string());
    vec![
        ("processor", processor(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default())),
        ("cores", cores),
        ("kernel", first_line(Command::new("uname").args(["-s", "-r", "-m"]))),
        ("compiler", first_line(Command::new("rustc").arg("-V"))),
        ("file system", file_system(&fs::read_to_string("/proc/mounts").unwrap_or_default(), disk)),
    ]
}

fn processor(cpuinfo: &str) -> String {
    let model = cpuinfo.lines().find(|line| line.starts_with("model name"));
    model.and_then(|line| line.split_once(": ")).map_or(UNKNOWN, |(_, model)| model).to_owned()
}

/// The type of the file system whose mount point is the longest that the path begins with.
fn file_system(mounts: &str, path: &Path) -> String {
    let mounted = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((fields.next()?, fields.next()?))
    });
    let below = mounted.filter(|(point, _)| path.starts_with(point));
    below.max_by_key(|(point, _)| point.len()).map_or(UNKNOWN, |(_, kind)| kind).to_owned()
}

fn first_line(command: &mut Command) -> String {
    let output = command.output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let line = output.unwrap_or_default().lines().next().unwrap_or_default().to_owned();
    if line.is_empty() { UNKNOWN.to_owned() } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_mount_counts() {
        let mounts = "overlay / overlay rw 0 0\n/dev/vdb /data ext4 rw 0 0\n/dev/vdc /data/x xfs rw 0 0\n";
        assert_eq!(file_system(mounts, Path::new("/data/larder/target")), "ext4");
        assert_eq!(file_system(mounts, Path::new("/elsewhere")), "overlay");
        assert_eq!(file_system("", Path::new("/elsewhere")), UNKNOWN);
    }

    #[test]
    fn the_processor_has_a_name() {
        assert_eq!(processor("processor\t: 0\nmodel name\t: Some CPU @ 2GHz\n"), "Some CPU @ 2GHz");
        assert_eq!(processor(""), UNKNOWN);
    }
}
