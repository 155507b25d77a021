"""Approval: only versions that enough people have signed may serve. Imported only if a setting names the approvers."""
