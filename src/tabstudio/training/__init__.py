"""Train packs: plan, loop, optimizer, checkpoints."""
