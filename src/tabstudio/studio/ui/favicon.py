"""The mark of the studio, drawn here so that no page asks for a file."""

FAVICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">'
    '<rect width="32" height="32" rx="7" fill="#0067a3"/>'
    '<path d="M7 9h18v4H7z" fill="#fff"/>'
    '<path d="M7 16h4v8H7zM14 16h4v5h-4zM21 16h4v8h-4z" fill="#bfe0f5"/></svg>'
)
