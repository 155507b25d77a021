"""The errors of approvals."""


class ApprovalError(Exception):
    """The base class of the errors of this package."""


class PublicKeyError(ApprovalError):
    """A text is not an Ed25519 public key."""


class EnvelopeError(ApprovalError):
    """A text is not a signed envelope, or its content is not a statement of the expected kind."""


class ApproversError(ApprovalError):
    """A file of approvers cannot be used. The message says what is wrong with which name."""
