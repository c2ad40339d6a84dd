//! What a device does beside its sessions: requests and exports by file, and a comparison with central.

use codec::ZstdCodec;
use outpost::error::AgentError;
use outpost::sync_runner::{CarriedOut, Imported, Parties, Report};
use outpost::verifying::{Asker, Comparison};
use protocol::ids::{CredentialGeneration, Hash};
use protocol::verify::Outcome;

use super::Device;

impl Device {
    /// Makes a request that goes by file.
    ///
    /// # Errors
    /// If the device fails.
    pub fn carry_out(&mut self, codec: &mut ZstdCodec) -> Result<CarriedOut, AgentError> {
        self.sessions += 1;
        self.salt = *b"simulated carry ";
        self.salt.iter_mut().zip(self.sessions.to_le_bytes()).for_each(|(salt, byte)| *salt ^= byte);
        let learnt = self.live().learnt;
        self.with_runner(codec, |runner, _| runner.carry_out(learnt))
    }

    /// Takes the answer to one.
    ///
    /// # Errors
    /// If it is overtaken, or the device fails.
    pub fn carry_in(
        &mut self,
        codec: &mut ZstdCodec,
        mut answer: &[u8],
        request: Hash,
        wall_ms: u64,
    ) -> Result<Report, AgentError> {
        // A device and its copy may both take it, which is one exchange: neither of them is told from the other by it.
        let tokens = self.identity.tokens;
        let report = self
            .with_runner(codec, |runner, learnt| runner.carry_in(&mut answer, request, learnt, wall_ms, &mut |_| {}));
        self.identity.tokens = tokens;
        report
    }

    /// Stores an export.
    ///
    /// # Errors
    /// If it may not be taken, or the device fails.
    pub fn import(&mut self, codec: &mut ZstdCodec, mut export: &[u8]) -> Result<Imported, AgentError> {
        self.with_runner(codec, |runner, _| runner.import(&mut export, &mut |_| {}))
    }

    /// Compares with central what it has, once, and mends what differs.
    ///
    /// # Errors
    /// Those of the comparison.
    pub fn verify(&mut self, codec: &mut ZstdCodec, asker: &mut dyn Asker) -> Result<Outcome, AgentError> {
        let live = self.live.as_mut().expect("only a running agent compares");
        let (mut count, salt) = (0_u64, self.sessions);
        let mut comparison = Comparison {
            recorder: &live.recorder,
            catalogue: &self.settings.catalogue,
            codec,
            signer: &self.signer,
            parties: Parties { site: self.site, central: self.settings.central, generation: CredentialGeneration(1) },
            token: self.identity.token,
            salt: &mut || {
                count += 1;
                (salt << 16 | count).to_le_bytes()
            },
            gained: None,
        };
        comparison.run(asker, &mut |_| true)
    }
}
