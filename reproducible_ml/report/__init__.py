"""One HTML file about recorded runs: nothing in it is loaded from elsewhere.

``page.py`` gathers what the other modules say about the runs and fills the template. They return
plain values; how these look is the business of ``templates/``.
"""
