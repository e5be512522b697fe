//! Engines that are wrong on purpose: a case that passes on the one that it is for is a case that cannot fail.

use aido_runtime::{
    Collected, Command, Control, EnvValue, Error, Event, Io, Listener, MountKind, Outcome, Plan, Probe, Runtime,
    Stream, SyscallProfile,
};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::PermissionsExt;

/// One thing that is wrong, and the case that must see it.
#[derive(Clone, Copy)]
pub(crate) struct Bend {
    pub(crate) name: &'static str,
    pub(crate) case: &'static str,
    /// The case is about a bound that an ordinary user may not have.
    pub(crate) needs_groups: bool,
    how: How,
}

#[derive(Clone, Copy)]
enum How {
    /// Another plan is run.
    Plan(fn(&mut Plan)),
    /// Something else is told.
    Event(fn(Event) -> Vec<Event>),
    /// Output is changed.
    Output(fn(Stream, &[u8]) -> (Stream, Vec<u8>)),
    /// No command is heard.
    Deaf,
    /// The outputs are changed after they were collected.
    Outputs(fn(&std::path::Path)),
    /// Another end is told.
    Outcome(fn(&mut Outcome)),
}

const fn bend(name: &'static str, case: &'static str, how: How) -> Bend {
    Bend { name, case, needs_groups: false, how }
}

const fn bound(name: &'static str, case: &'static str, how: How) -> Bend {
    Bend { name, case, needs_groups: true, how }
}

/// All of them.
pub(crate) const BENT: &[Bend] = &[
    bend("what_is_hidden_is_shown", "files::what_is_hidden_is_not_there", How::Plan(show)),
    bend("inputs_can_be_written", "files::inputs_cannot_be_changed", How::Plan(open)),
    bend(
        "a_user_of_its_own_choice",
        "identity::the_task_is_who_it_is_told_to_be",
        How::Plan(|plan| plan.identity.uid += 1),
    ),
    bend("a_filter_that_refuses_nothing", "calls::refused_calls_get_the_profiles_answer", How::Plan(allow_all)),
    bend("a_variable_too_many", "environment::variables_are_those_of_the_plan", How::Plan(one_more)),
    bend(
        "empty_arguments_are_lost",
        "environment::arguments_come_byte_for_byte",
        How::Plan(|plan| plan.task.args.retain(|arg| !arg.is_empty())),
    ),
    bend("the_hosts_name", "environment::the_host_name_is_the_plans", How::Plan(|plan| plan.name = "other".into())),
    bend(
        "another_folder",
        "environment::the_working_folder_is_the_plans",
        How::Plan(|plan| plan.task.workdir = "/bin".into()),
    ),
    bound(
        "memory_without_a_bound",
        "limits::memory_over_the_bound_ends_the_run",
        How::Plan(|plan| plan.limits.memory.value *= 16),
    ),
    bound("processes_without_a_bound", "limits::forks_are_bounded", How::Plan(|plan| plan.limits.pids.value *= 16)),
    bound(
        "processors_without_a_bound",
        "limits::processors_are_bounded",
        How::Plan(|plan| plan.limits.cpus.value *= 16),
    ),
    bend(
        "a_disk_without_a_bound",
        "writing::the_disk_is_full_when_it_is_full",
        How::Plan(|plan| plan.limits.disk.value *= 16),
    ),
    bend(
        "more_files_than_there_may_be",
        "writing::files_without_content_are_bounded",
        How::Plan(|plan| plan.limits.disk.value *= 64),
    ),
    bend("more_time_than_there_is", "deadline::a_task_that_sleeps", How::Plan(|plan| plan.deadline.ttl_ms *= 5)),
    bend(
        "more_patience_than_there_is",
        "signals::who_ignores_it_is_killed_after_the_grace",
        How::Plan(|plan| plan.deadline.grace_ms *= 8),
    ),
    bend("no_patience", "signals::a_task_may_end_within_the_grace", How::Plan(|plan| plan.deadline.grace_ms = 50)),
    bend("no_input", "stdin::bytes_arrive_and_the_end_does", How::Plan(|plan| plan.task.stdin = false)),
    bend("no_terminal", "terminal::all_three_streams_are_one", How::Plan(|plan| plan.task.tty = false)),
    bend("secrets_come_out", "outputs::secrets_are_replaced", How::Plan(|plan| plan.exact_output = true)),
    bend(
        "streams_are_mixed",
        "streams::the_streams_are_kept_apart",
        How::Output(|_, bytes| (Stream::Stdout, bytes.into())),
    ),
    bend(
        "line_ends_are_changed",
        "streams::bytes_come_as_they_are",
        How::Output(|stream, bytes| (stream, bytes.iter().copied().filter(|b| *b != b'\r').collect())),
    ),
    bend("nobody_hears_commands", "signals::a_signal_reaches_the_task", How::Deaf),
    bend("a_control_is_not_mentioned", "record::what_is_in_force_is_told_before_the_start", How::Event(forget)),
    bend("what_is_in_force_comes_late", "record::what_is_in_force_is_told_before_the_start", How::Event(late)),
    bend(
        "an_end_that_is_not_told",
        "record::what_is_in_force_is_told_before_the_start",
        How::Event(|event| if event == Event::Ended { vec![] } else { vec![event] }),
    ),
    bend("a_wrong_digest", "outputs::files_come_with_their_digests", How::Event(lie)),
    bend("an_output_that_is_not_listed", "outputs::many_files_come", How::Event(hide)),
    bend("modes_come_out", "outputs::set_id_bits_and_modes_do_not", How::Outputs(|folder| mode(folder, 0o4755))),
    bend(
        "closed_files_stay_closed",
        "outputs::closed_files_come_all_the_same",
        How::Outputs(|folder| mode(folder, 0o600)),
    ),
    bend(
        "a_status_of_its_own",
        "ends::statuses_are_the_tasks_own",
        How::Outcome(|outcome| outcome.end = aido_runtime::End::Exited { code: 0 }),
    ),
    bend("a_signal_is_a_status", "ends::statuses_that_look_like_signals_are_statuses", How::Outcome(signalled)),
];

fn show(plan: &mut Plan) {
    for mount in &mut plan.mounts {
        if let MountKind::Input { hidden, .. } = &mut mount.kind {
            hidden.clear();
        }
    }
}

/// By a place that can be written over the inputs.
fn open(plan: &mut Plan) {
    plan.mounts.push(aido_runtime::Mount { target: "/workspace/sub".into(), kind: MountKind::Scratch { mode: 0o777 } });
}

fn allow_all(plan: &mut Plan) {
    let profile = r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"], "syscalls": []}"#;
    plan.syscalls = SyscallProfile::File { path: "/all.json".into(), profile: profile.into() };
}

fn one_more(plan: &mut Plan) {
    plan.task.env.insert("container".into(), EnvValue::Literal("docker".into()));
}

fn forget(mut event: Event) -> Vec<Event> {
    if let Event::Enforced { controls } = &mut event {
        controls.0.remove(&Control::SecondWall);
    }
    vec![event]
}

/// After the start, when it is too late.
fn late(event: Event) -> Vec<Event> {
    match event {
        Event::Enforced { .. } => vec![Event::Started { pid: None }, event],
        Event::Started { .. } => vec![],
        event => vec![event],
    }
}

fn lie(mut event: Event) -> Vec<Event> {
    if let Event::Collected(Collected { artifacts, .. }) = &mut event {
        for artifact in artifacts {
            artifact.digest = format!("sha256:{}", "0".repeat(64));
        }
    }
    vec![event]
}

fn hide(mut event: Event) -> Vec<Event> {
    if let Event::Collected(Collected { artifacts, .. }) = &mut event {
        artifacts.pop();
    }
    vec![event]
}

fn mode(folder: &std::path::Path, mode: u32) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_file()) {
            let _ = std::fs::set_permissions(entry.path(), std::fs::Permissions::from_mode(mode));
        }
    }
}

fn signalled(outcome: &mut Outcome) {
    if let aido_runtime::End::Exited { code } = outcome.end {
        outcome.end = aido_runtime::End::Signalled { signal: i32::from(code) - 128 };
    }
}

/// An engine with something wrong.
pub(crate) struct Bent {
    pub(crate) engine: Box<dyn Runtime>,
    pub(crate) bend: Bend,
}

impl Runtime for Bent {
    fn name(&self) -> &'static str {
        self.engine.name()
    }

    fn probe(&self) -> Probe {
        self.engine.probe()
    }

    fn up(&self, plan: &Plan) -> Result<aido_runtime::Enforced, Error> {
        self.engine.up(plan)
    }

    fn run(&self, plan: &Plan, io: Io, listener: &mut dyn Listener) -> Result<Outcome, Error> {
        let mut plan = plan.clone();
        if let How::Plan(change) = self.bend.how {
            change(&mut plan);
        }
        let outputs = io.outputs.clone();
        let mut outcome = self.engine.run(&plan, io, &mut Between { listener, how: self.bend.how })?;
        match self.bend.how {
            How::Outputs(change) => change(&outputs),
            How::Outcome(change) => change(&mut outcome),
            _ => {}
        }
        Ok(outcome)
    }

    fn destroy(&self, leftover: &str) -> Result<(), Error> {
        self.engine.destroy(leftover)
    }
}

struct Between<'a> {
    listener: &'a mut dyn Listener,
    how: How,
}

impl Listener for Between<'_> {
    fn event(&mut self, event: Event) -> Result<(), Error> {
        let events = if let How::Event(change) = self.how { change(event) } else { vec![event] };
        events.into_iter().try_for_each(|event| self.listener.event(event))
    }

    fn output(&mut self, stream: Stream, bytes: &[u8]) {
        match self.how {
            How::Output(change) => {
                let (stream, bytes) = change(stream, bytes);
                self.listener.output(stream, &bytes);
            }
            _ => self.listener.output(stream, bytes),
        }
    }

    fn building(&mut self) -> Result<(), Error> {
        self.listener.building()
    }

    fn collected_so_far(&mut self, bytes: u64) {
        self.listener.collected_so_far(bytes);
    }

    fn command(&mut self) -> Option<Command> {
        let command = self.listener.command();
        if matches!(self.how, How::Deaf) { None } else { command }
    }

    fn wake(&self) -> Option<BorrowedFd<'_>> {
        self.listener.wake()
    }
}
