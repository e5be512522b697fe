//! Everything that a run has in the engine, made and filled.

use crate::about::Product;
use crate::conduct::{Conduct, Early, Ready};
use crate::pack::Archive;
use crate::places::OUTPUTS;
use crate::script::script;
use crate::seccomp::InFile;
use crate::shape::{self, LOADING};
use crate::{door, trust};
use aido_runtime::{Carried, Error, Gate, Io, Network};
use bollard::query_parameters::{
    CreateContainerOptions, CreateContainerOptionsBuilder, UploadToContainerOptionsBuilder,
};

/// From the door's start to the task's.
const BUILDING_MS: u64 = 180_000;

fn named(name: String) -> Option<CreateContainerOptions> {
    Some(CreateContainerOptionsBuilder::new().name(&name).build())
}

impl Conduct<'_> {
    /// Volumes, filled.
    pub(crate) async fn make(&self, ready: &Ready, listener: &mut Early<'_>) -> Result<(), Error> {
        let Conduct { session, plan, names, .. } = *self;
        let Ready { places, image, program, .. } = ready;
        let image_volumes = image.volumes_beside(&plan.mounts);
        for volume in shape::volumes(plan, names, places, &image_volumes, &session.about) {
            session.api.create_volume(volume).await.map_err(session.failed("a volume could not be made"))?;
        }
        let loader = shape::loader(&image.id, names, places);
        let failed = session.failed("the container could not be made");
        session.api.create_container(named(names.loader()), loader).await.map_err(failed)?;
        let mut archive = Archive::new(0, 0);
        // A program that its own user cannot read makes a process that nobody of that user can read or trace.
        // Podman puts nothing into a volume that lies below the path that it is told; Docker takes no link that leads out of
        // that path. What is sent is the same.
        let podman = session.about.product == Product::Podman;
        let into = |place: &str| match podman {
            true => (format!("/{LOADING}/{place}"), ".".to_string()),
            false => ("/".to_string(), format!("{LOADING}/{place}")),
        };
        let (path, at) = into("warden");
        archive.bytes(&format!("{at}/warden"), 0o111, *program);
        self.send(&names.loader(), &path, archive, listener).await?;
        for (number, region) in places.regions.iter().enumerate() {
            let mut archive = Archive::new(plan.identity.uid, plan.identity.gid);
            let (path, at) = into(&format!("in{number}"));
            archive.region(&at, region)?;
            self.send(&names.loader(), &path, archive, listener).await?;
        }
        Ok(())
    }

    /// The task's container, not started; and before it the one with its network, where it has one.
    pub(crate) async fn make_task(&self, ready: &Ready, listener: &mut Early<'_>) -> Result<Option<Carried>, Error> {
        let Conduct { session, plan, names, .. } = *self;
        let Ready { places, profile, image, .. } = ready;
        let failed = session.failed("the container could not be made");
        let (mut carried, mut trusted) = (None, Vec::new());
        if let (Some(gate), Network::Gateway(egress)) = (&self.gate, &plan.network) {
            if egress.opens_tls() {
                trusted = self.make_trust(ready, gate, listener).await?;
            }
            let door = shape::door(plan, &image.id, names, &gate.ports, self.lives_ms(), &session.about);
            session.api.create_container(named(names.door()), door).await.map_err(&failed)?;
            carried = Some(listener.wait(door::open(session, names.door())).await??);
        }
        // Podman takes a path of its own host where Docker takes the profile itself.
        let podman = session.about.product == Product::Podman;
        let file = podman.then(|| InFile::write(profile, &names.run)).transpose()?;
        let seccomp = file.as_ref().map_or_else(|| profile.text.clone(), InFile::path);
        let image_volumes = image.volumes_beside(&plan.mounts);
        let mut task = shape::task(plan, &image.id, names, places, &image_volumes, &seccomp, &session.about);
        if let Some(gate) = &self.gate {
            shape::join(&mut task, names, door::shut(gate), &trusted);
        }
        session.api.create_container(named(names.task()), task).await.map_err(&failed)?;
        Ok(carried)
    }

    /// The folders that say whom programs trust, each a volume. Their paths come back.
    async fn make_trust(&self, ready: &Ready, gate: &Gate, listener: &mut Early<'_>) -> Result<Vec<String>, Error> {
        let Conduct { session, names, .. } = *self;
        let folders = listener.wait(trust::folders(session, &names.loader(), &gate.authority)).await?;
        let paths: Vec<String> = folders.iter().map(|folder| folder.path.clone()).collect();
        for volume in shape::trust_volumes(names, &paths) {
            session.api.create_volume(volume).await.map_err(session.failed("a volume could not be made"))?;
        }
        let lender = shape::trust(&ready.image.id, names, &paths);
        let failed = session.failed("the container could not be made");
        session.api.create_container(named(names.trust()), lender).await.map_err(failed)?;
        for folder in folders {
            let mut archive = Archive::new(0, 0);
            for (name, text) in folder.files {
                archive.bytes(&name, 0o444, text);
            }
            self.send(&names.trust(), &folder.path, archive, listener).await?;
        }
        Ok(paths)
    }

    /// The door is gone by then, whatever became of everybody else.
    fn lives_ms(&self) -> u64 {
        let deadline = self.plan.deadline;
        BUILDING_MS.saturating_add(deadline.ttl_ms).saturating_add(deadline.grace_ms)
    }

    /// The outputs as they begin, and the task itself, into the container's memory.
    pub(crate) async fn hand_over(
        &self,
        ready: &Ready,
        io: &Io,
        words: [[u8; 32]; 2],
        listener: &mut Early<'_>,
    ) -> Result<(), Error> {
        let script = script(self.plan, &ready.places, &io.secrets, self.rest_ms, [&words[0], &words[1]])?;
        let mut archive = Archive::new(self.plan.identity.uid, self.plan.identity.gid);
        for (path, folder) in &ready.places.outputs {
            for (at, _) in path.match_indices('/') {
                archive.folder(&path[..at], 0o755);
            }
            match folder {
                true => archive.folder(path, 0o755),
                false => archive.bytes(path, 0o644, ""),
            }
        }
        archive.bytes(".aido", 0o400, script);
        self.send(&self.names.task(), OUTPUTS, archive, listener).await
    }

    async fn send(&self, container: &str, path: &str, archive: Archive, listener: &mut Early<'_>) -> Result<(), Error> {
        let options = UploadToContainerOptionsBuilder::new().path(path).build();
        let body = bollard::body_try_stream(archive.stream());
        let sending = self.session.slow.upload_to_container(container, Some(options), body);
        listener.wait(sending).await?.map_err(self.session.failed("inputs could not be brought into the container"))
    }
}
