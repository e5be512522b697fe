//! From the plan to what an engine is asked to make. Pure. There is no field here that could carry a bind, a host namespace,
//! a device or a privilege: nothing of the host but bytes of archives ever gets into a container.

use crate::about::{About, Product};
use crate::os;
use crate::places::{OUTPUTS, Places, WARDEN};
use aido_runtime::Plan;
use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig, Mount, MountType,
    MountVolumeOptions, ResourcesUlimits, VolumeCreateRequest,
};
use std::collections::HashMap;

/// Labels of everything that a run makes in an engine.
pub(crate) const RUN: &str = "aido.run";
pub(crate) const USER: &str = "aido.user";
/// Seconds of the caller's clock after which nobody looks after it any more.
pub(crate) const DEADLINE: &str = "aido.deadline";
/// Where the loader, which is never started, has the volumes that it fills.
pub(crate) const LOADING: &str = ".aido-load";

/// For the door: what it holds back for clients that do not read, and itself.
const DOOR_MEMORY: i64 = 256 << 20;
const DOOR_PROCESSES: i64 = 8;

/// What a run's things are called in the engine.
pub(crate) struct Names {
    pub(crate) run: String,
    labels: HashMap<String, String>,
}

impl Names {
    pub(crate) fn new(run: &str, user: &str, deadline: u64) -> Names {
        let run = Names::of(run);
        let labels = [(RUN, run.clone()), (USER, user.to_string()), (DEADLINE, deadline.to_string())];
        Names { run, labels: labels.map(|(name, value)| (name.to_string(), value)).into() }
    }

    /// The run's name with the letters that engines take.
    pub(crate) fn of(run: &str) -> String {
        let letter = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-') { c } else { '-' };
        format!("aido-{}", run.chars().map(letter).collect::<String>())
    }

    pub(crate) fn task(&self) -> String {
        Names::task_of(&self.run)
    }

    pub(crate) fn loader(&self) -> String {
        Names::loader_of(&self.run)
    }

    pub(crate) fn door(&self) -> String {
        Names::door_of(&self.run)
    }

    pub(crate) fn trust(&self) -> String {
        Names::trust_of(&self.run)
    }

    /// The task's container of the run that has this name in the engine.
    pub(crate) fn task_of(run: &str) -> String {
        run.to_string()
    }

    /// The container that lent that one its mounts.
    pub(crate) fn loader_of(run: &str) -> String {
        format!("{run}-load")
    }

    /// The container with its network.
    pub(crate) fn door_of(run: &str) -> String {
        format!("{run}-door")
    }

    /// The container that lent folders of its image.
    pub(crate) fn trust_of(run: &str) -> String {
        format!("{run}-trust")
    }

    fn volume(&self, what: &str) -> String {
        format!("{}-{what}", self.run)
    }
}

/// Bounds on one small file system in memory.
fn room(plan: &Plan) -> String {
    let bytes = plan.limits.disk.value;
    format!("size={bytes},nr_inodes={}", (bytes / 4096).clamp(1024, 1 << 20))
}

/// Options of a volume that lies in memory.
fn in_memory(plan: &Plan, mode: u32, about: &About) -> HashMap<String, String> {
    let (uid, gid, bytes) = (plan.identity.uid, plan.identity.gid, plan.limits.disk.value);
    let room = match about.product {
        // It takes `size` for a quota on its disk, whatever the file system is; this is the same in pages.
        Product::Podman => {
            room(plan).replacen(&format!("size={bytes}"), &format!("nr_blocks={}", bytes.div_ceil(4096)), 1)
        }
        _ => room(plan),
    };
    let o = format!("{room},mode={mode:o},uid={uid},gid={gid},nosuid,nodev");
    let options = [("type", "tmpfs".to_string()), ("device", "tmpfs".into()), ("o", o)];
    options.map(|(name, value)| (name.to_string(), value)).into()
}

/// A volume of the run's own.
fn volume(names: &Names, what: &str, options: Option<HashMap<String, String>>) -> VolumeCreateRequest {
    VolumeCreateRequest {
        name: Some(names.volume(what)),
        driver: Some("local".into()),
        driver_opts: options,
        labels: Some(names.labels.clone()),
        ..Default::default()
    }
}

/// Every place that is thrown away, and its mode.
fn scratch(places: &Places) -> Vec<(&str, u32)> {
    let mut scratch: Vec<(&str, u32)> = places.scratch.iter().map(|(target, mode)| (target.as_str(), *mode)).collect();
    if scratch.iter().all(|(target, _)| *target != "/dev/shm") {
        scratch.push(("/dev/shm", 0o1777));
    }
    scratch
}

/// Everything that has to be there before a container is made.
pub(crate) fn volumes(
    plan: &Plan,
    names: &Names,
    places: &Places,
    image_volumes: &[String],
    about: &About,
) -> Vec<VolumeCreateRequest> {
    let volume = |what: &str, options| volume(names, what, options);
    let mut volumes = vec![volume("out", Some(in_memory(plan, 0o755, about))), volume("warden", None)];
    if about.product == Product::Podman {
        for (number, (_, mode)) in scratch(places).iter().enumerate() {
            volumes.push(volume(&format!("scratch{number}"), Some(in_memory(plan, *mode, about))));
        }
    }
    volumes.extend((0..places.regions.len()).map(|number| volume(&format!("in{number}"), None)));
    volumes.extend((0..image_volumes.len()).map(|number| volume(&format!("image{number}"), None)));
    volumes
}

fn mount(source: String, target: &str, read_only: bool, no_copy: bool) -> Mount {
    Mount {
        typ: Some(MountType::VOLUME),
        source: Some(source),
        target: Some(target.into()),
        read_only: Some(read_only),
        volume_options: Some(MountVolumeOptions { no_copy: Some(no_copy), ..Default::default() }),
        ..Default::default()
    }
}

/// What both containers are without: ways out, powers, logs, anything that the image would have started.
fn bare(image: &str, names: &Names) -> (ContainerCreateBody, HostConfig) {
    let body = ContainerCreateBody {
        image: Some(image.into()),
        entrypoint: Some(vec![format!("{WARDEN}/warden")]),
        cmd: Some(Vec::new()),
        working_dir: Some("/".into()),
        healthcheck: Some(HealthConfig { test: Some(vec!["NONE".into()]), ..Default::default() }),
        labels: Some(names.labels.clone()),
        ..Default::default()
    };
    let host = HostConfig {
        network_mode: Some("none".into()),
        ipc_mode: Some("none".into()),
        cap_drop: Some(vec!["ALL".into()]),
        log_config: Some(HostConfigLogConfig { typ: Some("none".into()), config: None }),
        ..Default::default()
    };
    (body, host)
}

/// The container that only takes archives, and is never started.
pub(crate) fn loader(image: &str, names: &Names, places: &Places) -> ContainerCreateBody {
    let (body, host) = bare(image, names);
    let mut mounts = vec![mount(names.volume("warden"), &format!("/{LOADING}/warden"), false, true)];
    for number in 0..places.regions.len() {
        mounts.push(mount(names.volume(&format!("in{number}")), &format!("/{LOADING}/in{number}"), false, true));
    }
    ContainerCreateBody { host_config: Some(HostConfig { mounts: Some(mounts), ..host }), ..body }
}

/// The folders that say whom programs trust, as volumes.
pub(crate) fn trust_volumes(names: &Names, folders: &[String]) -> Vec<VolumeCreateRequest> {
    (0..folders.len()).map(|number| volume(names, &format!("trust{number}"), None)).collect()
}

/// The container that lends the content of these folders to their volumes, and is never started.
pub(crate) fn trust(image: &str, names: &Names, folders: &[String]) -> ContainerCreateBody {
    let (body, host) = bare(image, names);
    let mounts = trusted(names, folders, false);
    ContainerCreateBody { host_config: Some(HostConfig { mounts: Some(mounts), ..host }), ..body }
}

fn trusted(names: &Names, folders: &[String], read_only: bool) -> Vec<Mount> {
    let laid = |(number, folder): (usize, &String)| {
        // The image's own content comes with the first mount.
        mount(names.volume(&format!("trust{number}")), folder, read_only, read_only)
    };
    folders.iter().enumerate().map(laid).collect()
}

/// The container whose network the task's joins. It has the two powers that it takes to make every address its own and to listen at
/// any port, in its own network namespace; nothing of the task is in it, and it gives both up before the task is there.
pub(crate) fn door(
    plan: &Plan,
    image: &str,
    names: &Names,
    ports: &[u16],
    lives_ms: u64,
    about: &About,
) -> ContainerCreateBody {
    let (body, host) = bare(image, names);
    let words = ["door".to_string(), lives_ms.to_string()].into_iter().chain(ports.iter().map(u16::to_string));
    // Podman would raise those that are not named, as for the task.
    let mut limits = ulimits(about);
    limits.retain(|limit| limit.name.as_deref() != Some("nofile"));
    limits.push(ResourcesUlimits { name: Some("nofile".into()), soft: Some(4096), hard: Some(4096) });
    let host = HostConfig {
        cap_add: Some(vec!["NET_ADMIN".into(), "NET_BIND_SERVICE".into()]),
        mounts: Some(vec![mount(names.volume("warden"), WARDEN, true, true)]),
        readonly_rootfs: Some(true),
        memory: about.memory.then_some(DOOR_MEMORY),
        memory_swap: (about.memory && about.swap).then_some(DOOR_MEMORY),
        pids_limit: about.pids.then_some(DOOR_PROCESSES),
        security_opt: Some(vec!["no-new-privileges".into()]),
        cgroupns_mode: (about.api != "1.40").then_some(HostConfigCgroupnsModeEnum::PRIVATE),
        // Without a word of it the engine copies its host's own.
        dns: Some(vec!["127.0.0.1".into()]),
        dns_search: Some(vec![".".into()]),
        ulimits: Some(limits),
        ..host
    };
    ContainerCreateBody {
        cmd: Some(words.collect()),
        hostname: Some(plan.name.chars().take(63).collect()),
        user: Some("0:0".into()),
        open_stdin: Some(true),
        stdin_once: Some(true),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        host_config: Some(host),
        ..body
    }
}

/// Has the task's container share the network of the door's, of which it gets the names of hosts too; its first process knocks at a port
/// where nobody is.
pub(crate) fn join(task: &mut ContainerCreateBody, names: &Names, shut: u16, folders: &[String]) {
    task.hostname = None;
    task.cmd = Some(vec![shut.to_string()]);
    if let Some(host) = &mut task.host_config {
        host.network_mode = Some(format!("container:{}", names.door()));
        (host.dns, host.dns_search) = (None, None);
        host.mounts.get_or_insert_default().extend(trusted(names, folders, true));
    }
}

/// What is mounted in the task's container: volumes, and places in memory by their options.
fn laid(
    plan: &Plan,
    names: &Names,
    places: &Places,
    image_volumes: &[String],
    about: &About,
) -> (Vec<Mount>, HashMap<String, String>) {
    let mut mounts =
        vec![mount(names.volume("warden"), WARDEN, true, true), mount(names.volume("out"), OUTPUTS, false, true)];
    for (number, region) in places.regions.iter().enumerate() {
        mounts.push(mount(names.volume(&format!("in{number}")), &region.target, true, true));
    }
    for (number, target) in image_volumes.iter().enumerate() {
        // With the image's own content, as its root has it.
        mounts.push(mount(names.volume(&format!("image{number}")), target, true, false));
    }
    let mut tmpfs = HashMap::new();
    for (number, (target, mode)) in scratch(places).into_iter().enumerate() {
        if about.product == Product::Podman {
            // It knows neither owners nor numbers of files for such places, unless they are volumes.
            mounts.push(mount(names.volume(&format!("scratch{number}")), target, false, true));
        } else {
            let (uid, gid) = (plan.identity.uid, plan.identity.gid);
            let options = format!("rw,exec,nosuid,nodev,{},mode={mode:o},uid={uid},gid={gid}", room(plan));
            tmpfs.insert(target.to_string(), options);
        }
    }
    (mounts, tmpfs)
}

/// No core files. Podman would raise the other two as far as they go, and may not do so everywhere.
fn ulimits(about: &About) -> Vec<ResourcesUlimits> {
    let limit =
        |name: &str, most: i64| ResourcesUlimits { name: Some(name.into()), soft: Some(most), hard: Some(most) };
    let mut limits = vec![limit("core", 0)];
    if let Some((files, processes)) = os::most_files_and_processes().filter(|_| about.product == Product::Podman) {
        limits.extend([limit("nofile", files), limit("nproc", processes)]);
    }
    limits
}

/// The task's own container. `image_volumes`: places that the image would have had written to; `seccomp`: the profile, or
/// the file that it is in.
pub(crate) fn task(
    plan: &Plan,
    image: &str,
    names: &Names,
    places: &Places,
    image_volumes: &[String],
    seccomp: &str,
    about: &About,
) -> ContainerCreateBody {
    let (body, host) = bare(image, names);
    let identity = &plan.identity;
    let limits = &plan.limits;
    let whole = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let (mounts, tmpfs) = laid(plan, names, places, image_volumes, about);
    let memory = whole(limits.memory.value);
    // An engine that cannot count swap refuses a bound on it.
    let swap = about.swap.then_some(memory);
    let host = HostConfig {
        mounts: Some(mounts),
        tmpfs: Some(tmpfs),
        readonly_rootfs: Some(true),
        memory: about.memory.then_some(memory),
        memory_swap: swap.filter(|_| about.memory),
        nano_cpus: about.cpus.then(|| whole(limits.cpus.value.saturating_mul(1_000_000))),
        pids_limit: about.pids.then(|| whole(limits.pids.value.saturating_add(1))),
        security_opt: Some(vec!["no-new-privileges".into(), format!("seccomp={seccomp}")]),
        cgroupns_mode: (about.api != "1.40").then_some(HostConfigCgroupnsModeEnum::PRIVATE),
        group_add: Some(identity.groups.iter().map(u32::to_string).collect()),
        // Without a word of it the engine copies its host's own.
        dns: Some(vec!["127.0.0.1".into()]),
        dns_search: Some(vec![".".into()]),
        ulimits: Some(ulimits(about)),
        ..host
    };
    ContainerCreateBody {
        hostname: Some(plan.name.chars().take(63).collect()),
        user: Some(format!("{}:{}", identity.uid, identity.gid)),
        tty: Some(plan.task.tty),
        open_stdin: Some(plan.task.is_typed_to()),
        stdin_once: Some(plan.task.is_typed_to()),
        attach_stdin: Some(plan.task.is_typed_to()),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        host_config: Some(host),
        ..body
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::seccomp::Profile;
    use aido_runtime::{
        Deadline, EnvValue, Identity, Isolation, Limit, Limits, MountKind, Network, PLAN_VERSION, Record, Root,
        SyscallProfile, Task,
    };
    use std::collections::{BTreeMap, BTreeSet};

    pub(crate) fn about() -> About {
        let text = String::new;
        About {
            product: Product::Docker,
            version: "20.10.24".into(),
            api: "1.41".into(),
            os: "linux".into(),
            arch: "x86_64".into(),
            kernel: text(),
            system: text(),
            rootless: false,
            userns: false,
            seccomp: true,
            security: vec!["name=seccomp,profile=default".into()],
            cgroup_version: "2".into(),
            cgroup_driver: "systemd".into(),
            memory: true,
            swap: true,
            cpus: true,
            pids: true,
            warnings: Vec::new(),
        }
    }

    pub(crate) fn plan() -> Plan {
        let mount = |target: &str, kind| aido_runtime::Mount { target: target.into(), kind };
        Plan {
            version: PLAN_VERSION,
            name: "demo".into(),
            root: Root::Image { reference: "x:1".into(), digest: "sha256:0".into(), layers: Vec::new() },
            mounts: vec![
                mount("/outputs", MountKind::OutputFolder { path: String::new() }),
                mount("/workspace", MountKind::Empty),
                mount("/workspace/out", MountKind::OutputFolder { path: "out".into() }),
                mount("/tmp", MountKind::Scratch { mode: 0o1777 }),
            ],
            task: Task {
                programs: vec!["true".into()],
                args: Vec::new(),
                workdir: "/workspace".into(),
                env: BTreeMap::from([("STAGE".into(), EnvValue::Literal("test".into()))]),
                stdin: false,
                tty: false,
            },
            identity: Identity { uid: 1000, gid: 100, groups: vec![7] },
            limits: Limits {
                memory: Limit::asked(64 << 20),
                cpus: Limit::default(1500),
                pids: Limit::asked(32),
                disk: Limit::default(1 << 20),
                output: Limit::default(1 << 20),
            },
            network: Network::None,
            syscalls: SyscallProfile::Default,
            isolation: Isolation::Full,
            deadline: Deadline { ttl_ms: 10_000, grace_ms: 1000 },
            record: Record::default(),
            exact_output: false,
            accept_weaker: BTreeSet::new(),
        }
    }

    fn made() -> (ContainerCreateBody, Vec<VolumeCreateRequest>) {
        let plan = plan();
        let places = Places::of(&plan.mounts, &|_| true).unwrap();
        let names = Names::new("r/1", "1000@here", 77);
        let profile = Profile::of(&plan.syscalls).unwrap();
        let image_volumes = ["/var/lib/data".to_string()];
        let body = task(&plan, "sha256:1", &names, &places, &image_volumes, &profile.text, &about());
        (body, volumes(&plan, &names, &places, &image_volumes, &about()))
    }

    #[test]
    fn nothing_of_the_host_and_no_power_can_get_into_a_container() {
        let host = made().0.host_config.unwrap();
        assert_eq!((host.privileged, host.binds, host.devices, host.cap_add), (None, None, None, None));
        assert_eq!((host.pid_mode, host.uts_mode, host.userns_mode, host.volumes_from), (None, None, None, None));
        assert_eq!((host.network_mode.as_deref(), host.ipc_mode.as_deref()), (Some("none"), Some("none")));
        assert_eq!((host.cap_drop.as_deref(), host.readonly_rootfs), (Some(&["ALL".to_string()][..]), Some(true)));
        for mount in host.mounts.unwrap() {
            assert_eq!(mount.typ, Some(MountType::VOLUME), "no bind");
            assert!(mount.source.unwrap().starts_with("aido-r-1-"));
            let writable = mount.target.as_deref() == Some("/outputs");
            assert_eq!(mount.read_only, Some(!writable), "{:?}", mount.target);
        }
        let options = host.security_opt.unwrap();
        assert_eq!(options[0], "no-new-privileges");
        assert!(options[1].starts_with("seccomp={"));
        assert_eq!(host.log_config.unwrap().typ.as_deref(), Some("none"));
    }

    #[test]
    fn who_shares_the_doors_network_has_none_of_its_powers() {
        let (mut task, _) = made();
        let names = Names::new("r/1", "1000@here", 77);
        join(&mut task, &names, 9, &["/etc/aido".to_string()]);
        let host = task.host_config.unwrap();
        assert_eq!((host.network_mode.as_deref(), host.cap_add), (Some("container:aido-r-1-door"), None));
        assert_eq!(host.cap_drop.as_deref(), Some(&["ALL".to_string()][..]));
        assert!(host.mounts.unwrap().iter().any(|mount| mount.target.as_deref() == Some("/etc/aido")));
        let door = door(&plan(), "sha256:1", &names, &[80, 443], 5, &about());
        assert_eq!(door.cmd.unwrap(), ["door", "5", "80", "443"]);
        let host = door.host_config.unwrap();
        assert_eq!((host.network_mode.as_deref(), host.privileged, host.binds), (Some("none"), None, None));
        assert_eq!((host.cap_drop, host.readonly_rootfs), (Some(vec!["ALL".to_string()]), Some(true)));
        assert_eq!(host.cap_add.unwrap(), ["NET_ADMIN", "NET_BIND_SERVICE"]);
        let mounts = host.mounts.unwrap();
        assert_eq!((mounts.len(), mounts[0].read_only), (1, Some(true)), "only the program");
    }

    #[test]
    fn bounds_and_owners_are_the_plans() {
        let (body, volumes) = made();
        let host = body.host_config.unwrap();
        assert_eq!(
            (host.memory, host.memory_swap, host.nano_cpus),
            (Some(64 << 20), Some(64 << 20), Some(1_500_000_000))
        );
        assert_eq!(host.pids_limit, Some(33), "the warden is one more");
        let places = host.tmpfs.unwrap();
        for place in ["/tmp", "/dev/shm"] {
            let options = &places[place];
            for option in ["size=1048576", "nr_inodes=1024", "nosuid", "nodev", "mode=1777", "uid=1000", "gid=100"] {
                assert!(options.split(',').any(|told| told == option), "{place}: {options}");
            }
        }
        assert_eq!(body.user.as_deref(), Some("1000:100"));
        assert_eq!(host.group_add, Some(vec!["7".to_string()]));
        let out = &volumes[0].driver_opts.as_ref().unwrap();
        assert!(out["type"] == "tmpfs" && out["o"].starts_with("size=1048576,nr_inodes=1024,"));
        assert!(volumes.iter().all(|volume| volume.labels.as_ref().unwrap()[DEADLINE] == "77"));
        // The environment goes another way: what the engine stores has no secret.
        assert_eq!(body.env, None);
        assert_eq!(body.cmd, Some(Vec::new()));
        assert_eq!(body.healthcheck.unwrap().test, Some(vec!["NONE".to_string()]));
    }
}
