import torch

from tests import tiny


def test_the_loader_s_pinning_reaches_every_tensor(monkeypatch):
    """Where there is a device, torch's loader asks what it loads to pin itself."""
    pinned = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: (pinned.append(self), self.clone())[1])
    batch = tiny.batch(torch.zeros(2, 8, 8, dtype=torch.int64))
    found = torch.utils.data._utils.pin_memory.pin_memory(batch)
    tensors = [value for value in vars(batch).values() if isinstance(value, torch.Tensor)]
    assert {id(tensor) for tensor in pinned} == {id(tensor) for tensor in tensors}
    assert torch.equal(found.images, batch.images)
    assert found.images is not batch.images
