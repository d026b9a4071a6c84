"""Notes as pages: Markdown that is rendered once and kept on disk, for every worker and after every recycling.

Imported by the view that needs it: a worker that shows no page does not pay for the renderer.
"""

from html import escape

import markdown

from lowmem_serve import cache

pages = cache.open("pages", size="16M", ttl="1d")


# A note comes from anyone: a link could be one that runs a script.
NO_LINKS = (
    "link",
    "image_link",
    "reference",
    "image_reference",
    "short_reference",
    "short_image_ref",
    "autolink",
)


@pages.memoize()
def rendered(text: str) -> str:
    """A note's text as HTML: Markdown without links, images and elements of its own."""
    renderer = markdown.Markdown(output_format="html")
    for pattern in NO_LINKS:
        renderer.inlinePatterns.deregister(pattern)
    return renderer.convert(escape(text))
